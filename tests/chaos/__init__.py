"""Random kills of workers, Redis and the API, then an audit of all records."""
