"""Which task runs a lane, and the task events of jobs whose result is stored without a message."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from tests.unit.factories import CREATED, make_job, success
from worker.domain.lane import Lane
from worker.domain.outcome import outcome
from worker.queue.publisher import TICK_TASKS, CeleryPublisher


def test_every_lane_has_a_task() -> None:
    """Every lane has a task that runs it."""
    assert set(TICK_TASKS) == set(Lane)


@pytest.mark.parametrize("hide", [True, False])
def test_an_outcome_in_task_events(hide: bool) -> None:
    """A task-succeeded event shows the outcome; hide_prompts hides PhotoGPT's records, which repeat prompts."""
    sent: list[Any] = []

    class Dispatcher:
        def send(self, name: str, **fields: Any) -> None:
            sent.append((name, fields["result"]))

    publisher = CeleryPublisher(Celery(set_as_current=False), hide_prompts=hide)
    publisher.event_dispatcher = Dispatcher
    job = make_job()
    images = ({"id": "image-1", "url": "https://cdn/1.png", "data": {"prompt": "planted"}},)
    publisher.ended(job, outcome(job, success(images=images), at=CREATED + 9))
    ((name, shown),) = sent
    assert name == "task-succeeded"
    assert "'finished_at': '2027-01-15T08:00:09.000Z'" in shown
    assert ("planted" in shown, "1.png" in shown) == (not hide, not hide)
