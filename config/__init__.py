"""Everything the environment may say, and the Celery options derived from it."""
