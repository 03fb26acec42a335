"""The listing of sockets: what is known of each, whom it takes datagrams from, which are wanted."""
