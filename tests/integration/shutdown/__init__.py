"""Ending in order: signals, deploys, records of another version."""
