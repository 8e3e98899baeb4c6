"""Celery workers for PhotoGPT's asynchronous API: trigger a generation, poll it, publish its outcome."""

__version__ = "0.1.0"
