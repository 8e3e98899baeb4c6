"""Publishing over a real broker whose connections break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from config.celery import celery_options
from config.settings import load_settings
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.lane import Lane
from worker.queue.publisher import CeleryPublisher
from worker.store.lanes import Tick


@pytest.fixture
def app(valkey: EmbeddedValkey) -> Iterator[Celery]:
    """An app whose producer has a closed channel, as kombu leaves it at times after CLIENT KILL."""
    made = Celery(set_as_current=False)
    made.conf.update(celery_options(load_settings(redis_url=valkey.url)))
    CeleryPublisher(made).publish_tick(Tick(Lane.JOBS, "1", 0))
    with made.producer_pool.acquire(block=True) as producer:
        channel: Any = producer.channel
        channel.connection = channel._pool = None
    yield made
    made.close()


def test_a_tick_over_a_closed_channel(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    """A tick message that cannot be sent raises nothing and is logged: the lane monitor sends it again."""
    CeleryPublisher(app).publish_tick(Tick(Lane.JOBS, "1", 0))
    assert [record.msg for record in caplog.records] == ["cannot send a tick message; the lane monitor sends it again"]


def test_a_continuation_over_a_closed_channel(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    """A continuation that cannot be sent raises nothing and is logged: the results lane sends it again."""
    CeleryPublisher(app).resend_task({"task": "photogpt.generate_image", "options": {"task_id": "a job"}})
    assert [record.msg for record in caplog.records] == ["cannot send a continuation; the results lane sends it again"]
