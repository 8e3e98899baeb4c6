"""Celery and kombu: the app, and what connects the service to the queue."""
