"""Redis or the broker fails, refuses, is another server, or has other rights."""
