"""A message in a worker: shown without secrets, and returned to its queue after a pause."""

from __future__ import annotations

import random
import time
from typing import Any

from celery.worker.request import Request

from worker.queue.app import settings
from worker.queue.continuation import CONTINUED
from worker.queue.redaction import describe_arguments

REQUEUE_IN_S = 2.0  # a requeued message comes back at once, so it waits here before


class RedactedRequest(Request):
    """A request whose arguments may be shown in events, in Flower and in logs."""

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - Celery's own signature
        """Reject the message. Before a requeue the task's thread waits, so that it takes no other message."""
        if requeue:
            time.sleep(REQUEUE_IN_S * random.uniform(0.5, 1.5))  # noqa: S311 - spreads threads, no secret
        super().reject(requeue)

    @property
    def argsrepr(self) -> str:
        """Positional arguments for events. They are outcomes of other tasks, which are not shown."""
        return "(…)" if self.args else "()"

    @property
    def kwargsrepr(self) -> str:
        """Keyword arguments for events, without secrets. A continuation carries none, and describes the producer's."""
        captured: Any = self.request_dict.get("kwargsrepr") if self.request_dict.get(CONTINUED) else None
        return captured or describe_arguments(self.kwargs, hide_prompts=settings.hide_prompts)
