"""Sending over a real broker whose connections break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from worker.cli.local.embedded import EmbeddedValkey
from worker.queue.publisher import CeleryPublisher
from worker.store.keys import Lane
from worker.store.lanes import Tick


@pytest.fixture
def app(valkey: EmbeddedValkey) -> Iterator[Celery]:
    """An app whose producer had its connection taken apart, as kombu leaves it after CLIENT KILL now and then."""
    made = Celery(broker=valkey.url, backend=valkey.url, set_as_current=False)
    CeleryPublisher(made).publish_tick(Tick(Lane.JOBS, "1", 0))
    with made.producer_pool.acquire(block=True) as producer:
        channel: Any = producer.channel
        channel.connection = channel._pool = None
    yield made
    made.close()


def test_a_wake_over_a_dead_channel(app: Celery) -> None:
    """It is lost, which may happen, and raises nothing in the middle of a tick."""
    CeleryPublisher(app).publish_tick(Tick(Lane.JOBS, "1", 0))


def test_a_continuation_over_a_dead_channel(app: Celery) -> None:
    """The job has ended; that its message got lost is no fault of the job."""
    CeleryPublisher(app).resend_task({"task": "photogpt.generate_image", "options": {"task_id": "a job"}})
