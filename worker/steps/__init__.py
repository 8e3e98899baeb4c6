"""The straight line, one verb a file."""
