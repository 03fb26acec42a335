/* Stands in for the kernel's if_packet.h: BCC brings its own definitions. */
