"""The examples of `ops/receivers`, run as processes and tested with real deliveries."""
