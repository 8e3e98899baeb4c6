"""The settings, their checks, and Celery's options, which follow from them."""
