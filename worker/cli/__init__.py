"""photogpt-worker, the command."""
