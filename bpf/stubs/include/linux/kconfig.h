/* Stands in for the kernel's kconfig.h: the one option BCC's helpers insist on; that the running
 * kernel has it is shown by loading a program. */
#define CONFIG_BPF_SYSCALL 1
