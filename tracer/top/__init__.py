"""What `top` shows: rates of misses, errors told and drops, from the events of a live trace."""
