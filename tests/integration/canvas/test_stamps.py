"""Stamped tasks: revoked together by a stamp, and the stamps go on to the tasks after a job."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from celery import Celery, chain
from celery.exceptions import TaskRevokedError

from tests.conftest import image_request, paid_generations
from tests.running import keys
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess

pytestmark = pytest.mark.usefixtures("worker")


def stamped(producer: Celery, customer: str, **sandbox: Any) -> Any:
    """Send an image with a stamp, and an upscale after it."""
    image = producer.signature("photogpt.generate_image", kwargs={"request": image_request(**sandbox)})
    tasks: Any = chain(image, producer.signature("photogpt.upscale_image"))
    tasks.stamp(customer=customer)
    return tasks.apply_async()


def test_revoking_a_stamp(producer: Celery, sandbox: SandboxProcess, client: redis.Redis) -> None:
    """Revoking a stamp cancels the accepted jobs that have it, queued or running, and no others."""
    running, other = (stamped(producer, customer, duration_s=3) for customer in ("customer-7", "customer-8"))
    image = running.parent
    wait_until(lambda: image.state in {"SUBMITTED", "RUNNING"}, "the job is submitted")

    producer.control.revoke_by_stamped_headers({"customer": "customer-7"})

    with pytest.raises(TaskRevokedError):
        image.get(timeout=30)
    assert client.hget(keys.job(image.id), "state") == "canceled"
    assert stamped(producer, "customer-7").parent.get(timeout=30, propagate=False).__class__ is TaskRevokedError
    wait_until(lambda: client.exists(keys.job(other.id)), "the task after the other job is accepted")
    continuation = json.loads(client.hget(keys.job(other.id), "continuation") or "")
    assert continuation["options"]["stamped_headers"] == ["customer"]
    assert other.get(timeout=30)["state"] == "succeeded"
    assert paid_generations(sandbox) == 3
