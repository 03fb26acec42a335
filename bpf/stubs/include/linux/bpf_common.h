/* Stands in for the kernel's bpf_common.h: BCC brings its own definitions. */
