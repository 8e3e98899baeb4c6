"""An API call that takes long, in a real worker."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import image_request, paid_generations
from tests.integration.api_faults.conftest import Faults
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess


def send(producer: Celery, **sandbox: Any) -> Any:
    """Enqueue an image."""
    return producer.send_task("photogpt.generate_image", kwargs={"request": image_request(**sandbox)})


@pytest.mark.usefixtures("worker")
def test_a_slow_poll_delays_no_other(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """Jobs of one lane end while another poll of the same lane gets no answer."""
    slow = send(producer, duration_s=1.5)
    (made,) = wait_until(sandbox.control.generations, "the job is triggered")
    faults("getJobStatus", {"latency": 8}, count=None, id=made["jobId"])  # longer than PHOTOGPT_API_CALL_DEADLINE_S
    outcomes = [result.get(timeout=40) for result in [send(producer, duration_s=0.2) for _ in range(12)]]
    assert {outcome["state"] for outcome in outcomes} == {"succeeded"}
    assert not slow.ready()
    sandbox.control.clear()
    assert slow.get(timeout=40)["state"] == "succeeded"
    assert paid_generations(sandbox) == 13


@pytest.mark.usefixtures("worker")
def test_every_message_is_acknowledged(producer: Celery, client: redis.Redis, broker_url: str) -> None:
    """All messages are acknowledged soon after the last job, although no other message arrives."""
    if not broker_url.startswith("redis"):
        pytest.skip("only on Redis are unacknowledged messages in keys")
    for result in [send(producer, duration_s=0.2) for _ in range(8)]:
        result.get(timeout=40)
    wait_until(
        lambda: not client.hlen("photogpt.unacked") and not client.zcard("photogpt.unacked_index"),
        "no message is unacknowledged",
    )
