"""Evidence on disk: one event a line of JSON."""
