"""One file a subcommand: what its manual page says beyond --help."""
