"""The command, as people use it: real processes."""
