"""Forms in which a producer's message may come: in the older task protocol, and once more after its job has ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import image_request, paid_generations
from worker.sandbox.remote import SandboxProcess

pytestmark = pytest.mark.usefixtures("worker")

TASK = "photogpt.generate_image"


def enqueue(producer: Celery, **options: Any) -> Any:
    """Send an image task."""
    return producer.send_task(TASK, kwargs={"request": image_request()}, **options)


@pytest.fixture
def old_producer(producer: Celery) -> Iterator[Celery]:
    """A producer that sends messages of Celery's task protocol 1."""
    producer.conf.task_protocol = 1
    yield producer
    producer.conf.task_protocol = 2


def test_protocol_1(old_producer: Celery, sandbox: SandboxProcess) -> None:
    """A message of Celery's task protocol 1 starts a job, and its producer gets the outcome."""
    assert enqueue(old_producer).get(timeout=30)["state"] == "succeeded"
    assert paid_generations(sandbox) == 1


def test_a_message_of_an_ended_job(producer: Celery, sandbox: SandboxProcess, client: redis.Redis) -> None:
    """A second message of an ended job runs its task, which stores the outcome again."""
    result = enqueue(producer, task_id="twice")
    outcome = result.get(timeout=30)
    client.delete("celery-task-meta-twice")
    assert enqueue(producer, task_id="twice").get(timeout=30) == outcome
    assert paid_generations(sandbox) == 1
