"""HTTP calls with a deadline, and answer headers, for the PhotoGPT client and the webhook sender."""
