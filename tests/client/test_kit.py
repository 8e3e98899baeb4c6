"""The package's test kit, as a producer's tests use it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from photogpt_client import InvalidJob, JobCanceled, JobExpired, JobFailed, JobGone, image
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
    assert len(photogpt.sandbox("GET", "generations")) == 1
    photogpt.reset()  # as the fixture does before each test
    assert photogpt.sandbox("GET", "generations") == []
    with pytest.raises(JobGone):
        photogpt.client.job(job.id).wait()


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
    jobs = [photogpt_fake.client.image(modelID="nanobanana", prompt="Dawn") for _ in range(4)]
    photogpt_fake.advance(jobs[0], "running")
    assert jobs[0].outcome()["state"] == "running"
    photogpt_fake.fail(jobs[0], "unavailable", retryable=True)
    with pytest.raises(JobFailed) as failed:
        jobs[0].result(5)
    assert failed.value.retryable
    jobs[1].cancel()
    with pytest.raises(JobCanceled):
        jobs[1].result(5)
    photogpt_fake.expire(jobs[2])
    with pytest.raises(JobExpired):
        jobs[2].result(5)
    photogpt_fake.forget(jobs[3])
    with pytest.raises(JobGone):
        jobs[3].wait()


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


def test_no_setting_of_the_developer_reaches_the_service(
    photogpt: PhotoGPTService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of the kit has the kit's settings only, whatever the developer has set."""
    monkeypatch.setenv("PHOTOGPT_API_KEY", "the developer's")
    monkeypatch.setenv("PHOTOGPT_MAX_ACTIVE", "1")
    photogpt._run("environment", [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"])
    photogpt._processes.pop().wait(timeout=30)
    found = json.loads((photogpt.log.parent / "environment.log").read_text())
    assert {name: value for name, value in found.items() if name.startswith("PHOTOGPT_")} == photogpt._settings()
