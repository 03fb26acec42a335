"""The tests: unit (pure), system (root and network namespaces), kernel (inside the VM)."""
