/* Stands in for the kernel's bpf.h: BCC brings its own definitions. */
