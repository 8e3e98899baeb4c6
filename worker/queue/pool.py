"""Celery's thread pool, which goes on with the threads it has where no further one can start."""

from __future__ import annotations

from typing import Any

from celery.concurrency.thread import TaskPool

from worker.threads import LifoExecutor


class ThreadPool(TaskPool):
    """Celery's thread pool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take Celery's arguments."""
        super().__init__(*args, **kwargs)
        self.executor = LifoExecutor(self.limit)

    def on_start(self) -> None:
        """Start the first thread.

        Raises:
            RuntimeError: no thread can start.
        """
        self.executor.start()
