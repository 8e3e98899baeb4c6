"""Every form of Celery's canvas works over jobs that wait in Redis."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery, chain, chord, group

from tests.conftest import image_request, paid_generations
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess

pytestmark = pytest.mark.usefixtures("worker")


def job(producer: Celery, task: str, **kwargs: Any) -> Any:
    """Return the signature of a task that this process does not know."""
    return producer.signature(f"photogpt.{task}", kwargs=kwargs)


def upscaled(sandbox: SandboxProcess) -> list[str]:
    """Return the ids of the images that PhotoGPT was asked to upscale."""
    return [generation["request"]["imageID"] for generation in sandbox.control.generations(kind="upscale")]


def test_chain_pipes_outcomes(producer: Celery, sandbox: SandboxProcess) -> None:
    """In chain(train, generate, upscale) each request takes what it lacks from the outcome before it."""
    sandbox.control.model("model_a", status="new", duration_s=0.8)

    result: Any = chain(
        job(producer, "train_model", request={"modelID": "model_a"}),
        job(producer, "generate_image", request={"prompt": "me", "sandbox": {"duration_s": 0.3}}),
        job(producer, "upscale_image"),
    ).apply_async()

    outcome = result.get(timeout=60)
    generated = result.parent.get(timeout=5)
    assert outcome["kind"] == "upscale"
    assert upscaled(sandbox) == [generated["images"][0]["id"]]
    assert generated["model_id"] == "model_a"
    assert result.parent.parent.get(timeout=5)["kind"] == "training"


def test_chain_stops_at_a_failure(producer: Celery, sandbox: SandboxProcess) -> None:
    """The task after a failed job of a chain is never triggered."""
    result: Any = chain(
        job(producer, "generate_image", request=image_request(end="failed")), job(producer, "upscale_image")
    ).apply_async()

    with pytest.raises(Exception, match="generation_failed"):
        result.parent.get(timeout=20)
    assert paid_generations(sandbox) == 1


def test_group(producer: Celery, sandbox: SandboxProcess) -> None:
    """A group's outcomes come in the order of its tasks."""
    seconds = (0.9, 0.1, 0.5)
    jobs = [
        job(producer, "generate_image", request=image_request(duration_s=each), metadata={"s": each})
        for each in seconds
    ]

    outcomes = group(jobs).apply_async().get(timeout=40)

    assert [outcome["metadata"]["s"] for outcome in outcomes] == list(seconds)
    assert {outcome["state"] for outcome in outcomes} == {"succeeded"}
    assert len({outcome["generation_id"] for outcome in outcomes}) == 3


def test_chord_runs_its_body_once(producer: Celery, sandbox: SandboxProcess) -> None:
    """A chord's body runs once, when every job of its header has ended, with their outcomes."""
    header = [job(producer, "generate_image", request=image_request()) for _ in range(3)]

    outcome = chord(header, job(producer, "upscale_image")).apply_async().get(timeout=60)

    kinds = [generation["kind"] for generation in sandbox.control.generations()]
    assert outcome["kind"] == "upscale"
    assert sorted(kinds) == ["image", "image", "image", "upscale"]


def test_chord_with_a_failure(producer: Celery, sandbox: SandboxProcess) -> None:
    """A chord with a failed job in its header raises that job's error, and its body is not triggered."""
    header = [job(producer, "generate_image", request=image_request(end=end)) for end in ("success", "failed")]

    result = chord(header, job(producer, "upscale_image")).apply_async()

    with pytest.raises(Exception, match="generation_failed"):
        result.get(timeout=40)
    assert paid_generations(sandbox) == 2


def test_link(producer: Celery, sandbox: SandboxProcess) -> None:
    """A callback runs when the job has ended, and gets its outcome."""
    upscale = job(producer, "upscale_image").clone()
    upscale.set(task_id="linked")

    image = job(producer, "generate_image", request=image_request()).apply_async(link=upscale)

    assert producer.AsyncResult("linked").get(timeout=60)["kind"] == "upscale"
    assert upscaled(sandbox) == [image.get(timeout=5)["images"][0]["id"]]


def test_link_error(producer: Celery, sandbox: SandboxProcess) -> None:
    """An errback runs when the job has failed."""
    errback = job(producer, "generate_image", request=image_request()).clone()
    errback.set(task_id="errback", immutable=True)

    job(producer, "generate_image", request=image_request(end="failed")).apply_async(link_error=errback)

    assert producer.AsyncResult("errback").get(timeout=60)["state"] == "succeeded"


def test_nested(producer: Celery, sandbox: SandboxProcess) -> None:
    """A chain inside a group inside a chord succeeds with four generations."""
    pair = chain(job(producer, "generate_image", request=image_request()), job(producer, "upscale_image"))

    outcome = (
        chord(group(pair, job(producer, "generate_image", request=image_request())), job(producer, "upscale_image"))
        .apply_async()
        .get(timeout=60)
    )

    wait_until(lambda: paid_generations(sandbox) == 4, "four generations")
    assert outcome["kind"] == "upscale"
