"""Celery canvas: chain, group, chord, link and link_error with our tasks."""
