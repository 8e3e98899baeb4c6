"""The client of PhotoGPT's HTTP API."""
