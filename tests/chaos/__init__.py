"""Breaking things on purpose, and counting."""
