"""The kernel side: BTF offsets, symbols, probes, the BCC session and its self-test."""
