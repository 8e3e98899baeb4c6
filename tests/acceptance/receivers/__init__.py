"""The examples of `ops/receivers`, as processes, against real deliveries."""
