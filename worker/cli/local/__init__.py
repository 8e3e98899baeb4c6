"""Commands that run the service or parts of it, and the processes that they start on this machine."""
