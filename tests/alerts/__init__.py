"""The alerts under a real Prometheus, while faults happen in a real service."""
