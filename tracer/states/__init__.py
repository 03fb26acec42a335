"""What becomes of UDP sockets: the transitions that calls make, live and in replay."""
