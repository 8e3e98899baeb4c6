"""photogpt-worker: start it, wait for it, tell me."""

__version__ = "0.1.0"
