"""Recordings as a post-mortem: groups of incidents, what was lost, and what that means."""
