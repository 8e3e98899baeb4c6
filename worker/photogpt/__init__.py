"""The seam to PhotoGPT."""
