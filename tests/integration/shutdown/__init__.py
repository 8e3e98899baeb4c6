"""A worker that stops in order."""
