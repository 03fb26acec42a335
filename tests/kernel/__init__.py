"""Kernel tests: real probes, real traffic; run as root inside the VM (scripts/test)."""
