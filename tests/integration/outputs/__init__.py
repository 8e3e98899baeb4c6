"""Images and videos are stored."""
