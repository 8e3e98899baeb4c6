"""Each seam against the real thing it talks to."""
