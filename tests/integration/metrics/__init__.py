"""Metrics and probes of real workers and the exporter."""
