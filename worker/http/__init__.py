"""HTTP calls with a deadline, to guarded addresses: for PhotoGPT's API, downloads and webhooks."""
