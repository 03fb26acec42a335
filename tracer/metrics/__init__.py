"""What a trace counts for Prometheus (docs/fleet.md), and the endpoint that serves it."""
