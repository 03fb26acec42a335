"""Real container engines in the VM: context managers that start them and clean up after them."""
