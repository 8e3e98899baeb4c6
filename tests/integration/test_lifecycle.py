"""Every kind of job through a real worker, as a producer without our code sees it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis
import requests
from celery import Celery

from tests.conftest import image_request, paid_generations
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess

pytestmark = pytest.mark.usefixtures("worker")

OUTCOME = {
    "id", "kind", "state", "reason", "error", "retryable", "generation_id", "model_id", "images", "videos",
    "files", "files_error", "metadata", "created_at", "submitted_at", "finished_at", "polls",
}  # fmt: skip


def send(producer: Celery, task: str, **kwargs: Any) -> Any:
    """Enqueue a task by its name."""
    return producer.send_task(f"photogpt.{task}", kwargs=kwargs)


def test_image(producer: Celery, sandbox: SandboxProcess) -> None:
    """An image is triggered once, and its outcome is the result of the task that the producer sent."""
    result = send(producer, "generate_image", request=image_request(), metadata={"order": 7})

    outcome = result.get(timeout=20)

    assert set(outcome) == OUTCOME
    assert outcome["id"] == result.id
    assert outcome["kind"] == "image"
    assert outcome["state"] == "succeeded"
    assert outcome["metadata"] == {"order": 7}
    assert outcome["reason"] is None
    assert outcome["images"][0]["url"].startswith("http://")
    assert outcome["created_at"] < outcome["submitted_at"] < outcome["finished_at"]
    [generation] = sandbox.control.generations()
    assert outcome["generation_id"] == generation["jobId"]


def test_video_keeps_its_records_whole(producer: Celery, sandbox: SandboxProcess) -> None:
    """PhotoGPT's video records are passed through unchanged."""
    request = {"modelID": "veo-3.1", "prompt": "a kite", "numVideos": 2, "sandbox": {"duration_s": 0.4}}

    outcome = send(producer, "generate_video", request=request).get(timeout=20)

    url = f"{sandbox.base_url}/jobs/{outcome['generation_id']}"
    assert outcome["videos"] == requests.get(url, headers=sandbox.headers, timeout=10).json()["result"]["videos"]
    assert len(outcome["videos"]) == 2
    assert outcome["images"] == []


def test_upscale(producer: Celery, sandbox: SandboxProcess) -> None:
    """An image that was generated before can be upscaled."""
    first = send(producer, "generate_image", request=image_request()).get(timeout=20)

    outcome = send(producer, "upscale_image", request={"imageID": first["images"][0]["id"]}).get(timeout=40)

    assert outcome["kind"] == "upscale"
    assert outcome["images"]


def test_training_polls_the_model(producer: Celery, sandbox: SandboxProcess) -> None:
    """A training has no generation id: its model is polled until it is ready."""
    sandbox.control.model("model_a", status="new", duration_s=1.2)

    outcome = send(producer, "train_model", request={"modelID": "model_a"}).get(timeout=30)

    assert outcome["kind"] == "training"
    assert outcome["model_id"] == "model_a"
    assert outcome["generation_id"] is None
    assert sandbox.control.state()["trainings"]["model_a"] == 1
    assert outcome["polls"] >= 2


def test_training_again_is_not_ended_by_the_old_ready(producer: Celery, sandbox: SandboxProcess) -> None:
    """A model that was ready before its training does not end the job at the first poll."""
    sandbox.control.model("model_b", status="ready", duration_s=1.2)

    outcome = send(producer, "train_model", request={"modelID": "model_b"}).get(timeout=30)

    assert outcome["state"] == "succeeded"
    assert outcome["polls"] >= 2


def test_states_on_the_way(producer: Celery, sandbox: SandboxProcess) -> None:
    """While PhotoGPT works, AsyncResult shows the state and the generation id."""
    result = send(producer, "generate_image", request=image_request(duration_s=3))

    wait_until(lambda: result.state in {"SUBMITTED", "RUNNING"}, "the job is shown as submitted")
    info = result.info
    wait_until(lambda: result.state == "RUNNING", "the job is shown as running")

    assert info["generation_id"] == sandbox.control.generations()[0]["jobId"]
    assert result.get(timeout=20)["state"] == "succeeded"
    assert result.state == "SUCCESS"


def test_failed_generation_raises_with_the_reason(producer: Celery, sandbox: SandboxProcess) -> None:
    """A failed generation raises in the producer with PhotoGPT's own message."""
    result = send(producer, "generate_image", request=image_request(end="failed", error="unsafe prompt"))

    with pytest.raises(
        Exception, match="generation_failed: the generation failed at PhotoGPT: unsafe prompt"
    ) as caught:
        result.get(timeout=20)

    assert type(caught.value).__name__ == "JobFailed"
    assert result.state == "FAILURE"


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({}, "request: is required"),
        ({"request": {"modelID": "nanobanana"}}, "request.prompt: is required"),
        ({"request": {"modelID": "nanobanana", "prompt": 7}}, "request.prompt: Input should be a valid string"),
        ({"request": image_request(), "webhook_url": "ftp://x"}, "webhook_url: must start with https://"),
        (
            {"request": image_request(), "metadata": {"a": "x" * 5000}},
            "metadata: has 5008 bytes of JSON, 4096 are allowed",
        ),
        ({"request": image_request(), "deadline_s": 0}, "deadline_s: Input should be greater than 0"),
        ({"request": image_request(), "requst": 1}, "requst: is not an argument of this task"),
    ],
)
def test_bad_input_never_reaches_photogpt(
    producer: Celery, sandbox: SandboxProcess, client: redis.Redis, kwargs: dict[str, Any], said: str
) -> None:
    """Bad arguments end the job at once, and result and record name the field."""
    result = send(producer, "generate_image", **kwargs)

    with pytest.raises(Exception, match=re.escape(f"invalid_request: {said}")):
        result.get(timeout=20)

    assert client.hget(f"photogpt:job:{{{result.id}}}", "reason") == "invalid_request"
    assert paid_generations(sandbox) == 0


def test_deadline_while_running(producer: Celery, sandbox: SandboxProcess) -> None:
    """A deadline ends the job, and the message says that PhotoGPT may go on and charge."""
    result = send(producer, "generate_image", request=image_request(duration_s=60), deadline_s=1.5)

    with pytest.raises(Exception, match=r"deadline_exceeded: the deadline of job .* may go on and be charged"):
        result.get(timeout=20)


def test_cancel(producer: Celery, sandbox: SandboxProcess) -> None:
    """Canceling ends the job, and the message says that PhotoGPT cannot cancel the generation."""
    result = send(producer, "generate_image", request=image_request(duration_s=60))
    wait_until(lambda: result.state in {"SUBMITTED", "RUNNING"}, "the job is submitted")

    outcome = producer.send_task("photogpt.cancel", kwargs={"job_id": result.id}).get(timeout=20)

    assert outcome["state"] == "canceled"
    assert "PhotoGPT has no cancel" in outcome["error"]
    with pytest.raises(Exception, match="canceled: job"):
        result.get(timeout=20)


def test_cancel_of_nothing(producer: Celery) -> None:
    """Canceling an unknown job fails with a message that names its id."""
    with pytest.raises(Exception, match="there is no job 'nope'"):
        producer.send_task("photogpt.cancel", args=["nope"]).get(timeout=20)


def test_same_task_id_twice_triggers_once(producer: Celery, sandbox: SandboxProcess) -> None:
    """A task that is sent twice under one task id is paid once."""
    for _ in range(2):
        result = producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}, task_id="order-1")

    assert result.get(timeout=20)["id"] == "order-1"
    assert paid_generations(sandbox) == 1


def test_same_idempotency_key_shares_one_generation(producer: Celery, sandbox: SandboxProcess) -> None:
    """Two jobs with one idempotency key and one request share a generation and its outcome."""
    results = [send(producer, "generate_image", request=image_request(), idempotency_key="k") for _ in range(2)]

    outcomes = [result.get(timeout=20) for result in results]

    assert outcomes[0]["generation_id"] == outcomes[1]["generation_id"]
    assert [outcome["id"] for outcome in outcomes] == [result.id for result in results]
    assert paid_generations(sandbox) == 1


def test_idempotency_key_with_another_request_is_refused(producer: Celery, sandbox: SandboxProcess) -> None:
    """An idempotency key with another request is refused with the id of the job that has it."""
    first = send(producer, "generate_image", request=image_request(), idempotency_key="k")
    first.get(timeout=20)

    second = send(producer, "generate_image", request=image_request(seed=5), idempotency_key="k")

    with pytest.raises(Exception, match=f"idempotency_conflict: idempotency_key: 'k' belongs to job {first.id}"):
        second.get(timeout=20)
    assert paid_generations(sandbox) == 1


def test_nothing_left_to_do(producer: Celery, client: redis.Redis, worker: WorkerProcess) -> None:
    """After the last job every lane is empty, and the log holds no traceback."""
    before = len(worker.text())
    send(producer, "generate_image", request=image_request()).get(timeout=20)

    wait_until(
        lambda: not any(client.zcard(key) for key in client.scan_iter("photogpt:lane:{*}", _type="zset")),
        "every lane is empty",
    )

    assert "Traceback" not in worker.text()[before:]


def test_too_much_at_once(producer: Celery, sandbox: SandboxProcess) -> None:
    """When PhotoGPT runs only three jobs at a time, the others wait, and all succeed."""
    sandbox.control.options(max_active=3)

    results = [send(producer, "generate_image", request=image_request(duration_s=0.3)) for _ in range(15)]

    assert [result.get(timeout=60)["state"] for result in results] == ["succeeded"] * 15
    assert sandbox.control.state()["answers"]["triggerImageGenerationJob"].get("429")
    assert paid_generations(sandbox) == 15


def test_revoking_in_celery_cancels(producer: Celery, sandbox: SandboxProcess, client: redis.Redis) -> None:
    """Revoking a task, as Flower's button does, cancels its job."""
    result = send(producer, "generate_image", request=image_request(duration_s=60))
    wait_until(lambda: result.state in {"SUBMITTED", "RUNNING"}, "the job is submitted")

    result.revoke()

    record = f"photogpt:job:{{{result.id}}}"
    wait_until(lambda: client.hget(record, "state") == "canceled", "the job is canceled")
    wait_until(lambda: result.state == "REVOKED", "Celery shows it as revoked")
    wait_until(lambda: not client.zcard("photogpt:lane:{results}"), "no result is left to publish")


def test_one_tenants_many_do_not_starve_anothers_one(producer: Celery, sandbox: SandboxProcess) -> None:
    """A tenant's single job does not wait for all thirty jobs of another tenant."""
    sandbox.control.options(max_active=2)
    many = [send(producer, "generate_image", request=image_request(duration_s=0.4), tenant="many") for _ in range(30)]
    wait_until(lambda: sandbox.control.state(lists=False)["created"].get("image", 0) >= 4, "some of them have begun")

    one = send(producer, "generate_image", request=image_request(duration_s=0.4), tenant="one")

    assert one.get(timeout=60)["state"] == "succeeded"
    assert sum(result.ready() for result in many) < 25
    assert [result.get(timeout=90)["state"] for result in many] == ["succeeded"] * 30
    assert paid_generations(sandbox) == 31
