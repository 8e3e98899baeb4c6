"""The producer's side of the queue, as commands need it."""

from __future__ import annotations

from celery import Celery

from config.celery import celery_options
from config.settings import Settings


def producer(settings: Settings) -> Celery:
    """Return an app that can send by name and read results; it has no task of its own."""
    app = Celery("photogpt-worker-cli", set_as_current=False)
    app.conf.update(celery_options(settings))
    return app
