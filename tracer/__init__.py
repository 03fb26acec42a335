"""udptrace: links each ICMP unreachable to the UDP socket whose four-tuple refused the datagram."""

__version__ = "0.1.0"
