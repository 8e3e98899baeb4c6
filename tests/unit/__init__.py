"""One function or class at a time, without a server."""
