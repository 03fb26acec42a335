/* Stands in for the kernel's log2.h, which BCC includes and does not use. */
