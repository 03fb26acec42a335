/* Stands in for the kernel's asm/page.h: x86-64 pages. */
#ifndef PAGE_SIZE
#define PAGE_SIZE 4096
#endif
