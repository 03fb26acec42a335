"""What runs in the VM: the measurements, and the tracers measured."""
