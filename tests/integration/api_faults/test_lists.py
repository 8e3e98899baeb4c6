"""After a lost answer only the list of jobs shows what was created; each fault of the list has a known result."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis
import requests
from celery import Celery

from tests.conftest import image_request, paid_generations
from tests.integration.api_faults.conftest import Faults, ended
from tests.running import WorkerProcess, keys
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess
from worker.steps.search import MAX_FAILURES

LISTS_THAT_SHOW_IT = {
    "lags less than twice the settling time": {"list_lag_s": 1.4},
    "shuffled": {"list_order": "shuffled", "page_size": 2},
    "oldest first, an end that is null": {"list_order": "oldest_first", "page_size": 1, "last_page": "null"},
    "pages overlap, an empty end": {"list_repeat": 1, "page_size": 2, "last_page": "empty"},
    "statuses are lies": {"list_lie": "failed"},
    "an unknown status": {"list_lie": "tumbled"},
}
"""Faulty lists that still show the generation."""


def send(producer: Celery, **sandbox: Any) -> Any:
    """Enqueue an image."""
    return producer.send_task("photogpt.generate_image", kwargs={"request": image_request(duration_s=0.2, **sandbox)})


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("action", LISTS_THAT_SHOW_IT.values(), ids=LISTS_THAT_SHOW_IT)
def test_a_bad_list_that_shows_it(
    producer: Celery, sandbox: SandboxProcess, faults: Faults, action: dict[str, Any]
) -> None:
    """In a list of known generations the one unknown generation is adopted, whatever else is wrong with the list."""
    for result in [send(producer) for _ in range(3)]:
        result.get(timeout=20)
    faults("triggerImageGenerationJob", {"drop_after": True})
    faults("listJobs", action, count=None)

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 4


@pytest.mark.usefixtures("worker")
def test_no_list_for_a_while(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """While the list cannot be read, a job with a lost answer stays undecided."""
    faults("triggerImageGenerationJob", {"drop_after": True})
    for action in ({"status": 429, "retry_after": 1}, {"html": 200}, {"reset_half_body": True}):
        faults("listJobs", action)

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 1


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("action", [{"list_lag_s": 30}, {"list_omit": 1.0}], ids=["shows it late", "omits"])
def test_the_limit_of_the_promise(
    producer: Celery, sandbox: SandboxProcess, faults: Faults, action: dict[str, Any]
) -> None:
    """A generation that the list hides for twice the settling time is triggered again, which can cost twice."""
    faults("triggerImageGenerationJob", {"drop_after": True})
    faults("listJobs", action, count=None)

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 2


@pytest.mark.usefixtures("worker")
def test_a_blind_list(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """A list that omits generations known to exist proves nothing, so the job is not triggered again."""
    faults("triggerImageGenerationJob", {"drop_after": True})
    faults("listJobs", {"list_omit": 1.0}, count=None)

    lost = send(producer)
    wait_until(lambda: paid_generations(sandbox) == 1, "the generation exists and its answer is lost")
    assert ended(send(producer)) == "succeeded"

    assert ended(lost).startswith("trigger_uncertain: PhotoGPT's answer was lost, and its list lacks every generation")
    assert paid_generations(sandbox) == 2


def test_accepted_without_id_and_not_listed(
    producer: Celery, client: redis.Redis, own_worker: WorkerProcess, sandbox: SandboxProcess, faults: Faults
) -> None:
    """A trigger accepted without a generation id is never repeated, not even by another worker."""
    faults("triggerImageGenerationJob", {"missing_job_id": True})
    faults("listJobs", {"list_omit": 1.0}, count=None)

    result = send(producer)
    record = keys.job(result.id)
    wait_until(lambda: client.hexists(record, "accepted_intent"), "the acceptance is recorded")
    own_worker.child.kill()
    own_worker.start()

    assert ended(result).startswith("trigger_uncertain: PhotoGPT accepted the trigger without an id")
    assert client.hget(record, "retryable") == "false"
    assert sandbox.control.state()["requests"]["triggerImageGenerationJob"] == 1


@pytest.mark.usefixtures("worker")
def test_it_cannot_be_polled(producer: Celery, client: redis.Redis, sandbox: SandboxProcess, faults: Faults) -> None:
    """While GET /jobs/{id} fails, no listed generation is adopted, since it may be of another model; then it is."""
    faults("triggerImageGenerationJob", {"drop_after": True})
    faults("getJobStatus", {"status": 500}, count=None)

    result = send(producer)
    wait_until(lambda: sandbox.control.state()["requests"].get("getJobStatus", 0) > MAX_FAILURES, "it cannot be read")
    assert client.hget(keys.job(result.id), "state") == "queued"
    sandbox.control.clear()

    assert ended(result) == "succeeded"
    assert paid_generations(sandbox) == 1


@pytest.mark.usefixtures("worker")
def test_two_lost_answers(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """With two lost answers and two generations neither is adopted, and both jobs name both generations."""
    faults("triggerImageGenerationJob", {"drop_after": True}, count=2)

    ends = [ended(result) for result in [send(producer), send(producer)]]

    made = {generation["jobId"] for generation in sandbox.control.generations()}
    for said in ends:
        assert said.startswith("trigger_uncertain: ")
        assert "was not triggered again, since that could pay twice" in said
        assert set(re.findall(r"job_\w+", said)) == made
    assert paid_generations(sandbox) == 2
    polls = sandbox.control.state()["polls"]
    assert all(polls[name] <= 2 for name in made)  # at most once by each job, not once in every round


@pytest.mark.usefixtures("worker")
def test_asking_again_takes_longer_each_time(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """Where every answer is lost, the delay before each new trigger doubles, which bounds the cost."""
    faults("triggerImageGenerationJob", {"drop_after": True}, count=None)
    faults("listJobs", {"list_omit": 1.0}, count=None)

    result = producer.send_task("photogpt.generate_image", kwargs={"request": image_request(), "deadline_s": 12})

    assert "deadline_exceeded: " in ended(result)
    assert 2 <= paid_generations(sandbox) <= 3


@pytest.mark.usefixtures("worker")
def test_another_client_uses_the_key(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """A generation of another model, made with the same key, is not adopted."""
    sandbox.control.model("other", status="ready")
    body = {"modelID": "other", "prompt": "not ours", "sandbox": {"duration_s": 0}}
    made = requests.post(f"{sandbox.base_url}/images/generation", json=body, headers=sandbox.headers, timeout=10)
    assert made.status_code == 200
    faults("triggerImageGenerationJob", {"drop": True})

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 2  # the other client's and ours
