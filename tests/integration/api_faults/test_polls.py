"""Polling what runs: no wrong answer of PhotoGPT ends a job that was paid for."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any
from unittest.mock import create_autospec

import pytest
import redis
from celery import Celery

from config.settings import Settings
from tests.conftest import image_request, paid_generations
from tests.contract.peers import Conversation, Peer
from tests.integration.api_faults.conftest import Faults, ended
from tests.running import WorkerProcess, keys
from tests.unit.factories import CREATED, make_job
from tests.waiting import wait_until
from worker.domain.decision import Decision, Finish, Reschedule
from worker.domain.job import Job, JobState
from worker.domain.reason import Reason
from worker.sandbox.remote import SandboxProcess
from worker.services import TaskPublisher, open_services
from worker.steps.poll import poll

POLLS = {
    "429 with seconds": {"status": 429, "retry_after": 1},
    "429 with a date": {"status": 429, "retry_after_date": 1},
    "429 alone": {"status": 429},
    "400": {"status": 400},
    "500": {"status": 500},
    "503 with seconds": {"status": 503, "retry_after": 1},
    "dropped": {"drop": True},
    "dropped after": {"drop_after": True},
    "half a body": {"reset_half_body": True},
    "403 as a proxy's page": {"html": 403},
    "502 as a proxy's page": {"html": 502},
    "200 as a proxy's page": {"html": 200},
    "no JSON": {"garbage": True},
    "NOK under 200": {"nok_200": True, "message": "Insufficient credits."},
    "no such job": {"not_found": True},
    "50 MB": {"huge": 50_000_000},
    "a byte a second": {"drip": 1},
    "an unknown status": {"unknown_status": "Marinating"},
    "upper case": {"odd_case": "upper"},
    "title case": {"odd_case": "title"},
}
TIMES = {"upper case": None, "title case": None, "a byte a second": 1}
"""How often each of these faults occurs; None: always. The others occur twice."""


@pytest.mark.usefixtures("worker")
def test_faults_while_polling(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """Polling goes on through every kind of fault until the generation has ended."""
    results = {}
    for name in POLLS:
        request = image_request(duration_s=3) | {"prompt": name}
        results[name] = producer.send_task("photogpt.generate_image", kwargs={"request": request})
    wait_until(lambda: paid_generations(sandbox) == len(POLLS), "all jobs are triggered")
    for generation in sandbox.control.generations():
        name = generation["prompt"]
        faults("getJobStatus", POLLS[name], count=TIMES.get(name, 2), id=generation["jobId"])

    assert {name: ended(result) for name, result in results.items()} == dict.fromkeys(POLLS, "succeeded")
    assert [rule["action"] for rule in sandbox.control.live_faults() if not rule["fired"]] == []
    assert paid_generations(sandbox) == len(POLLS)


@pytest.mark.usefixtures("worker")
def test_faults_while_training(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """A training is polled through odd case, unknown statuses and faults until its model is ready."""
    sandbox.control.model("model_x", status="new", duration_s=1)
    for action in ({"status": 500}, {"unknown_status": "Simmering"}, {"html": 200}):
        faults("getModel", action, after=1)
    faults("getModel", {"odd_case": "upper"}, count=None)

    result = producer.send_task("photogpt.train_model", kwargs={"request": {"modelID": "model_x"}})

    assert ended(result) == "succeeded"
    assert sandbox.control.state()["trainings"]["model_x"] == 1


def poll_each(settings: Settings, job: Job, age_s: float, *answers: tuple[int, dict[str, Any]]) -> list[Decision]:
    """Poll a job of some age once for each answer, keeping the reason in between as the store does."""
    left = [(status, json.dumps(body).encode()) for status, body in answers]
    decisions: list[Decision] = []
    with Peer(lambda conversation: conversation.answer(*left.pop(0))) as peer:
        changed = settings.model_copy(update={"base_url": peer.url})
        services = open_services(changed, create_autospec(TaskPublisher, instance=True))
        while left:
            decisions.append(poll(services, job, job.created_at + age_s))
            reason = decisions[-1].reason if isinstance(decisions[-1], Reschedule) else None
            job = replace(job, reason=reason)
        services.close()
    return decisions


def slow_poll(settings: Settings, answer_after_s: float, **changes: Any) -> Decision:
    """Poll a generation under way; PhotoGPT answers so much later."""

    def answer(conversation: Conversation) -> None:
        time.sleep(answer_after_s)  # the slow API itself
        conversation.answer(200, json.dumps(THERE[1]).encode())

    with Peer(answer) as peer:
        changed = settings.model_copy(update={"base_url": peer.url, "schedule": "fixed", **changes})
        services = open_services(changed, create_autospec(TaskPublisher, instance=True))
        decision = poll(services, make_job(generation_id="g-1", submitted_at=CREATED), CREATED)
        services.close()
    return decision


@pytest.mark.usefixtures("client")
def test_the_interval_counts_from_poll_to_poll(settings: Settings) -> None:
    """The time that PhotoGPT takes to answer a poll does not make the next one later, unless that takes the floor."""
    slow = slow_poll(settings, 0.5, job_poll_interval_s=5, job_poll_floor_s=1)
    assert isinstance(slow, Reschedule)
    assert slow.after <= 5 * 1.02 - 0.5
    slower = slow_poll(settings, 0.5, job_poll_interval_s=1, job_poll_floor_s=1)
    assert isinstance(slower, Reschedule)
    assert slower.after >= 0.98


GONE = 404, {"status": "NOK", "message": "no such job"}
THERE = 200, {"status": "OK", "result": {"jobId": "g-1", "status": "running"}}


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(
    ("age_s", "answers", "ends"),
    [
        (61, [GONE, GONE], [False, True]),
        (61, [GONE, THERE, GONE], [False, False, False]),
        (59, [GONE, GONE, GONE], [False, False, False]),
    ],
    ids=["twice in a row", "once and again", "young"],
)
def test_a_generation_that_is_gone(settings: Settings, age_s: float, answers: list[Any], ends: list[bool]) -> None:
    """A job fails as `not_found` only after two 404 answers in a row, and not soon after its trigger."""
    job = make_job(state=JobState.RUNNING, generation_id="g-1", submitted_at=CREATED)
    decisions = poll_each(settings, job, age_s, *answers)
    assert [isinstance(decision, Finish) for decision in decisions] == ends
    reasons = [decision.result.reason for decision in decisions if isinstance(decision, Finish)]
    assert reasons == [Reason.NOT_FOUND] * sum(ends)


@pytest.mark.usefixtures("client")
def test_a_failure_in_a_million_words(settings: Settings) -> None:
    """A very long failure message of PhotoGPT is cut at its end before it is stored."""
    failed = 200, {"status": "OK", "result": {"jobId": "g-1", "status": "failed", "error": "too dark " * 100_000}}
    job = make_job(state=JobState.RUNNING, generation_id="g-1", submitted_at=CREATED)
    (decision,) = poll_each(settings, job, 9, failed)
    assert isinstance(decision, Finish)
    said = decision.result.error or ""
    assert said.startswith("the generation failed at PhotoGPT: too dark too dark")
    assert len(said) < 2100


def test_an_unknown_end_is_not_an_end(
    producer: Celery, sandbox: SandboxProcess, worker: WorkerProcess, client: redis.Redis
) -> None:
    """A job with an unknown status is polled until its deadline; log, record and error name the status."""
    before = len(worker.text())
    request = image_request(duration_s=0.2, end="Evaporated")

    result = producer.send_task("photogpt.generate_image", kwargs={"request": request, "deadline_s": 3})
    said = ended(result)

    assert said.startswith("deadline_exceeded: ")
    assert "may go on and be charged" in said
    assert "PhotoGPT's last status was 'evaporated'" in said
    assert client.hget(keys.job(result.id), "photogpt_status") == "evaporated"
    assert worker.text()[before:].count("status 'evaporated'") == 1
