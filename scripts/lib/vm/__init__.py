"""The micro-VM behind scripts/vm: stock Debian kernels under QEMU."""
