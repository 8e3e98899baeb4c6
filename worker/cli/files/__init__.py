"""The commands below `photogpt-worker files`."""
