"""The seam to webhook receivers."""
