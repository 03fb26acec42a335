/* Stands in for the kernel's version.h. Since Linux 5.0 no program type is checked against it. */
#ifndef LINUX_VERSION_CODE
#define LINUX_VERSION_CODE 330240 /* 5.10.0, the oldest kernel supported */
#endif
#ifndef KERNEL_VERSION
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#endif
