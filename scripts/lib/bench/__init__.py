"""scripts/bench: what udptrace costs, beside its peers and its targets."""
