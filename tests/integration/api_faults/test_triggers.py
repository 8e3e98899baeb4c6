"""Faults while triggering: whatever the answer, there is one generation and one outcome."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from tests.conftest import image_request, paid_generations
from tests.integration.api_faults.conftest import Faults, Record, ended
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess

pytestmark = pytest.mark.usefixtures("worker")

REFUSED_FOR_NOW: dict[str, dict[str, Any]] = {
    "429 with seconds": {"status": 429, "retry_after": 1},
    "429 with a date": {"status": 429, "retry_after_date": 1},
    "429 with nonsense": {"status": 429, "retry_after": "soon"},
    "429 alone": {"status": 429},
    "409": {"status": 409},
    "403 as a proxy's page": {"html": 403},
}
"""Nothing was created, which is certain; the trigger is repeated."""

REFUSED: dict[str, dict[str, Any]] = {
    "refused: This style was retired.": {"nok_200": True, "message": "This style was retired."},
    "insufficient_credits: Insufficient credits.": {"nok_200": True, "message": "Insufficient credits."},
    "insufficient_credits: PhotoGPT answered 402: Pay first.": {"status": 402, "message": "Pay first."},
    "invalid_request: PhotoGPT answered 400: No such ratio.": {"status": 400, "message": "No such ratio."},
    "not_found: PhotoGPT answered 404: No such model.": {"status": 404, "message": "No such model."},
}
"""Definite refusals; each key is the message that the producer gets."""

LOST_BEFORE: dict[str, dict[str, Any]] = {
    "503": {"status": 503},
    "dropped before": {"drop": True},
    "502 as a proxy's page": {"html": 502},
    "200 as a proxy's page": {"html": 200},
}
"""Nothing was created, which only the list can show."""

LOST_AFTER: dict[str, dict[str, Any]] = {
    "503 after": {"status_after": 503},
    "dropped after": {"drop_after": True},
    "half a body": {"reset_half_body": True},
    "created late": {"latency_before": 5.3, "drop_after": True},
    "50 MB": {"huge": 50_000_000},
    "a byte a second": {"drip": 1},
    "no JSON": {"garbage": True},
    "no jobId": {"missing_job_id": True},
}
"""A generation was created, and the answer does not name it."""


def send(producer: Celery, **sandbox: Any) -> Any:
    """Enqueue an image."""
    return producer.send_task("photogpt.generate_image", kwargs={"request": image_request(duration_s=0.2, **sandbox)})


def send_each(producer: Celery, faults: Faults, table: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Enqueue an image for each row of a table, with that row's fault in its trigger; return how each job ended."""
    results = {}
    for name, action in table.items():
        faults("triggerImageGenerationJob", action, contains=f"row {name}.")
        request = image_request(duration_s=0.2) | {"prompt": f"row {name}."}
        results[name] = producer.send_task("photogpt.generate_image", kwargs={"request": request})
    return {name: ended(result) for name, result in results.items()}


def test_a_temporary_refusal(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """A trigger that PhotoGPT refuses temporarily is repeated until it is accepted."""
    ends = send_each(producer, faults, REFUSED_FOR_NOW)

    assert ends == dict.fromkeys(REFUSED_FOR_NOW, "succeeded")
    assert paid_generations(sandbox) == len(REFUSED_FOR_NOW)


def test_a_definite_refusal(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """A definite refusal ends the job with PhotoGPT's own message, whatever its HTTP status."""
    ends = send_each(producer, faults, REFUSED)

    assert ends == {said: said for said in REFUSED}
    assert paid_generations(sandbox) == 0


@pytest.mark.parametrize("action", LOST_BEFORE.values(), ids=LOST_BEFORE)
def test_nothing_was_created(producer: Celery, sandbox: SandboxProcess, faults: Faults, action: dict[str, Any]) -> None:
    """A trigger with a lost answer is repeated after the list shows that nothing was created."""
    faults("triggerImageGenerationJob", action)

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 1
    assert sandbox.control.state()["requests"]["listJobs"] >= 2


@pytest.mark.parametrize("action", LOST_AFTER.values(), ids=LOST_AFTER)
def test_it_was_created(producer: Celery, sandbox: SandboxProcess, faults: Faults, action: dict[str, Any]) -> None:
    """A generation whose answer was lost is found in the list and adopted, and the trigger is not repeated."""
    faults("triggerImageGenerationJob", action)

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 1
    assert sandbox.control.state()["requests"]["triggerImageGenerationJob"] == 1


def test_a_burst_of_faults(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """A gateway that fails three times in a row in three ways delays the job and changes nothing else."""
    for action in ({"status": 500}, {"html": 502}, {"status": 504}):
        faults("triggerImageGenerationJob", action)

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 1


def test_deadline_without_a_list(producer: Celery, sandbox: SandboxProcess, faults: Faults, outcome_of: Record) -> None:
    """While the list cannot be read, the job's deadline ends it, and the message says that it may be charged."""
    faults("triggerImageGenerationJob", {"drop_after": True})
    faults("listJobs", {"status": 500}, count=None)

    result = producer.send_task("photogpt.generate_image", kwargs={"request": image_request(), "deadline_s": 2.5})

    assert "deadline_exceeded: the deadline of job" in (said := ended(result))
    assert "its answer was lost, so a generation may exist and be charged" in said
    assert outcome_of(result.id)["retryable"] == "false"
    assert paid_generations(sandbox) == 1


def test_training_lost_after(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """A training that began although its answer was lost is recognized by the model's status and triggered once."""
    sandbox.control.model("model_x", status="new", duration_s=4)
    faults("triggerModelTraining", {"drop_after": True})

    result = producer.send_task("photogpt.train_model", kwargs={"request": {"modelID": "model_x"}})

    assert ended(result) == "succeeded"
    assert sandbox.control.state()["trainings"]["model_x"] == 1
    assert sandbox.control.state()["requests"]["triggerModelTraining"] == 1


def test_training_lost_before(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """A training whose trigger did not arrive leaves the model unchanged and is triggered again, once."""
    sandbox.control.model("model_x", status="ready", duration_s=1)
    faults("triggerModelTraining", {"drop": True})

    result = producer.send_task("photogpt.train_model", kwargs={"request": {"modelID": "model_x"}})

    assert ended(result) == "succeeded"
    assert sandbox.control.state()["trainings"]["model_x"] == 1
    wait_until(
        lambda: sandbox.control.state()["requests"]["triggerModelTraining"] == 2, "the training was triggered twice"
    )
