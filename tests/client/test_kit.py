"""The package's test kit, as a producer's tests use it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from photogpt_client import InvalidJob, JobCanceled, JobFailed, JobGone, image
from photogpt_client.testing.events import SECRET, SignedRequest
from photogpt_client.testing.fake import FakePhotoGPT
from photogpt_client.testing.service import PhotoGPTService
from photogpt_client.webhooks import Receiver, WebhookRefused
from tests.client.test_arguments import REFUSED
from tests.golden import golden
from tests.running import Receiver as HttpReceiver
from tests.waiting import wait_until


def test_the_real_service(photogpt: PhotoGPTService, receiver: HttpReceiver) -> None:
    """A job of the fixture runs through Valkey, worker and sandbox, and its webhook has the kit's signature."""
    outcome = photogpt.client.image(modelID="nanobanana", prompt="Dawn", webhook_url=receiver.url).result(timeout=30)
    assert outcome["images"][0]["url"].startswith(photogpt.sandbox_url)
    (request,) = wait_until(lambda: receiver.requests, "the webhook arrives")
    event = Receiver([photogpt.webhook_secret]).receive(request.body, request.headers)
    assert event is not None
    assert event.outcome == outcome


def test_the_real_service_is_empty_for_each_test(photogpt: PhotoGPTService) -> None:
    """A test sees no generation of another one, and faults of the sandbox reach the outcome."""
    assert photogpt.sandbox("GET", "generations") == []
    job = photogpt.client.image(modelID="nanobanana", prompt="Dawn", extra={"sandbox": {"end": "failed"}})
    with pytest.raises(JobFailed, match="generation_failed"):
        job.result(timeout=30)


def test_the_fake_answers_at_once(photogpt_fake: FakePhotoGPT) -> None:
    """A job of the fake has the outcome and the events of the contract, for threads and for asyncio."""
    job = photogpt_fake.client.image(modelID="nanobanana", prompt="Dawn", metadata={"order": 17})
    outcome = job.result(timeout=5)
    assert outcome.keys() == golden("outcomes/succeeded")["outcome"].keys()
    assert (outcome, outcome["metadata"]) == (job.outcome(), {"order": 17})
    assert [event.type for event in job.events()] == ["job.queued", "job.succeeded"]
    started = photogpt_fake.client.upscale(imageID="img_1", not_before="2020-01-01T00:00:00Z")
    later = photogpt_fake.client.upscale(imageID="img_1", not_before=time.time() + 60)
    assert [started.outcome()["state"], later.outcome()["state"]] == ["succeeded", "queued"]
    assert photogpt_fake.sent[0]["request"] == {"modelID": "nanobanana", "prompt": "Dawn"}
    batch = photogpt_fake.client.submit_many([image(modelID="nanobanana", prompt="a"), image(modelID="nanobanana")])
    assert (batch.wait(5)["succeeded"], len(batch.refused)) == (1, 1)
    known = photogpt_fake.client.submit_many([image(modelID="nanobanana", prompt="a", id=batch.jobs[0].id)])
    assert known.wait(5)["succeeded"] == 1

    async def produce() -> Any:
        return await (await photogpt_fake.async_client.video(modelID="veo-3.1", prompt="Waves"))

    assert len(asyncio.run(produce())["videos"]) == 1


def test_the_fake_ends_jobs_as_a_test_says(photogpt_fake: FakePhotoGPT) -> None:
    """A test lets jobs go on, fail, expire and disappear, and a job can be canceled."""
    photogpt_fake.automatic = False
    jobs = [photogpt_fake.client.image(modelID="nanobanana", prompt="Dawn") for _ in range(3)]
    photogpt_fake.advance(jobs[0], "running")
    assert jobs[0].outcome()["state"] == "running"
    photogpt_fake.fail(jobs[0], "unavailable", retryable=True)
    with pytest.raises(JobFailed) as failed:
        jobs[0].result(5)
    assert failed.value.retryable
    jobs[1].cancel()
    with pytest.raises(JobCanceled):
        jobs[1].result(5)
    photogpt_fake.forget(jobs[2])
    with pytest.raises(JobGone):
        jobs[2].wait()


def test_the_fake_refuses_what_the_service_refuses(photogpt_fake: FakePhotoGPT) -> None:
    """Wrong arguments are refused before anything is sent, and what only a worker checks ends as invalid_request."""
    for kind, given, field in REFUSED:
        send = getattr(photogpt_fake.client, "train" if kind == "training" else kind)
        with pytest.raises(InvalidJob) as refused:
            send(**given)
        assert refused.value.field == field
    assert photogpt_fake.sent == []
    good: Any = {"modelID": "nanobanana", "prompt": "Dawn"}
    for wrong in ({"metadata": {"text": "x" * 5000}}, {"webhook_url": "https://example.com:8443/hook"}):
        job = photogpt_fake.client.image(**good, **wrong)
        assert job.wait(5)["reason"] == "invalid_request"
    first = photogpt_fake.client.image(**good, idempotency_key="k")
    assert photogpt_fake.client.image(**good, idempotency_key="k").wait(5)["images"] == first.wait(5)["images"]
    other = photogpt_fake.client.image(modelID="nanobanana", prompt="Dusk", idempotency_key="k")
    assert other.wait(5)["reason"] == "idempotency_conflict"


def test_the_fake_lets_an_idempotency_key_go(photogpt_fake: FakePhotoGPT) -> None:
    """A key answers with the outcome of its job in every state but one: after a retryable end it starts a new job."""
    photogpt_fake.automatic = False
    client = photogpt_fake.client
    ends: list[tuple[Callable[[str], None], bool]] = [
        (photogpt_fake.succeed, True),
        (photogpt_fake.fail, True),
        (photogpt_fake.expire, True),
        (client.cancel, True),
        (lambda job_id: photogpt_fake.fail(job_id, "unavailable", retryable=True), False),
    ]
    for number, (end, is_held) in enumerate(ends):
        first = client.image(modelID="nanobanana", prompt="Dawn", idempotency_key=str(number))
        end(first.id)
        second = client.image(prompt="Dawn", modelID="nanobanana", idempotency_key=str(number))
        other = client.image(modelID="nanobanana", prompt="Dusk", idempotency_key=str(number))
        assert second.outcome()["state"] == (first.outcome()["state"] if is_held else "queued")
        assert other.outcome()["reason"] == "idempotency_conflict"


def test_signed_and_forged_events(
    signed_event: Callable[..., SignedRequest], forged_event: Callable[..., SignedRequest]
) -> None:
    """A signed event is accepted with its outcome, and a forged one is refused."""
    receiver = Receiver([SECRET])
    signed, forged = signed_event("model.failed", id="j1", reason="conflict"), forged_event()
    event = receiver.receive(signed.body, signed.headers)
    assert event is not None
    assert (event.type, event.outcome["state"], event.outcome["reason"]) == ("model.failed", "failed", "conflict")
    with pytest.raises(WebhookRefused):
        receiver.receive(forged.body, forged.headers)


def test_no_setting_of_the_developer_reaches_the_service(photogpt: PhotoGPTService) -> None:
    """The worker of the kit runs with the kit's settings only."""
    worker = photogpt._processes[-1].pid
    with open(f"/proc/{worker}/environ", encoding="utf-8") as file:  # noqa: PTH123 - not a file of ours
        names = {line.partition("=")[0] for line in file.read().split("\0")}
    assert {name for name in names if name.startswith("PHOTOGPT_")} == set(photogpt._settings())
    assert os.getpid() != worker
