"""One part of the service against a real neighbour: Valkey, an HTTP server, Celery's own classes."""
