"""Tests of tracer.system against a real kernel: they need root and network namespaces."""
