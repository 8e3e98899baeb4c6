"""The seam to Redis."""
