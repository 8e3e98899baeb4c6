"""Commands that run the service, or parts of it, on this machine."""
