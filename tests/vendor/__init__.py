"""A second stand-in for PhotoGPT, written from its API reference alone. It serves files as badly as HTTP allows."""
