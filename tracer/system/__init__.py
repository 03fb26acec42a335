"""What the system says beside the kernel's events: sockets, processes, namespaces, clocks."""
