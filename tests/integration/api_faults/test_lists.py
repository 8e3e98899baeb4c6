"""The list of jobs is the only witness of a lost answer, and a bad one: what follows from each of its faults."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis
import requests
from celery import Celery

from tests.conftest import image_request, paid_generations
from tests.integration.api_faults.conftest import Faults, ended
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess
from worker.store import keys

WITNESSES = {
    "lags less than twice the settling time": {"list_lag_s": 1.4},
    "shuffled": {"list_order": "shuffled", "page_size": 2},
    "oldest first, an end that is null": {"list_order": "oldest_first", "page_size": 1, "last_page": "null"},
    "pages overlap, an empty end": {"list_repeat": 1, "page_size": 2, "last_page": "empty"},
    "statuses are lies": {"list_lie": "failed"},
    "an unknown status": {"list_lie": "tumbled"},
}
"""Wrong lists that show the generation all the same."""


def send(producer: Celery, **sandbox: Any) -> Any:
    """Enqueue an image."""
    return producer.send_task("photogpt.generate_image", kwargs={"request": image_request(duration_s=0.2, **sandbox)})


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("action", WITNESSES.values(), ids=WITNESSES)
def test_a_bad_list_that_shows_it(
    producer: Celery, sandbox: SandboxProcess, faults: Faults, action: dict[str, Any]
) -> None:
    """Among generations that are known, the one that is not is adopted, however the list is told."""
    for result in [send(producer) for _ in range(3)]:
        result.get(timeout=20)
    faults("triggerImageGenerationJob", {"drop_after": True})
    faults("listJobs", action, count=None)

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 4


@pytest.mark.usefixtures("worker")
def test_no_list_for_a_while(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """While the list does not come, or comes broken, nobody decides anything."""
    faults("triggerImageGenerationJob", {"drop_after": True})
    for action in ({"status": 429, "retry_after": 1}, {"html": 200}, {"reset_half_body": True}):
        faults("listJobs", action)

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 1


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("action", [{"list_lag_s": 30}, {"list_omit": 1.0}], ids=["lags for long", "omits"])
def test_the_limit_of_the_promise(
    producer: Celery, sandbox: SandboxProcess, faults: Faults, action: dict[str, Any]
) -> None:
    """What PhotoGPT does not show within twice the settling time is taken for never created: that can cost twice."""
    faults("triggerImageGenerationJob", {"drop_after": True})
    faults("listJobs", action, count=None)

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 2


@pytest.mark.usefixtures("worker")
def test_a_blind_list(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """A list that shows nothing of what PhotoGPT has named since is no witness: nobody pays again on its word."""
    faults("triggerImageGenerationJob", {"drop_after": True})
    faults("listJobs", {"list_omit": 1.0}, count=None)

    lost = send(producer)
    wait_until(lambda: paid_generations(sandbox) == 1, "its answer is lost")
    assert ended(send(producer)) == "succeeded"

    assert ended(lost).startswith("trigger_uncertain: PhotoGPT's answer was lost, and its list shows nothing")
    assert paid_generations(sandbox) == 2


def test_a_yes_that_is_not_listed(
    producer: Celery, client: redis.Redis, own_worker: WorkerProcess, sandbox: SandboxProcess, faults: Faults
) -> None:
    """PhotoGPT said yes, named nothing and lists nothing: never asked again, even by a worker that did not hear it."""
    faults("triggerImageGenerationJob", {"missing_job_id": True})
    faults("listJobs", {"list_omit": 1.0}, count=None)

    result = send(producer)
    record = keys.job(result.id)
    wait_until(lambda: client.hexists(record, "accepted_intent"), "the yes is written down")
    own_worker.child.kill()
    own_worker.start()

    assert ended(result).startswith("trigger_uncertain: PhotoGPT said yes, named no generation")
    assert client.hget(record, "retryable") == "false"
    assert sandbox.control.state()["requests"]["triggerImageGenerationJob"] == 1


@pytest.mark.usefixtures("worker")
def test_it_cannot_be_looked_at(producer: Celery, client: redis.Redis, sandbox: SandboxProcess, faults: Faults) -> None:
    """Listed, and GET /jobs/{id} breaks for good: adopted all the same; nobody stays in doubt to the deadline."""
    faults("triggerImageGenerationJob", {"drop_after": True})
    faults("getJobStatus", {"status": 500}, count=None)

    result = send(producer)
    record = keys.job(result.id)
    wait_until(lambda: client.hget(record, "state") == "submitted", "it is adopted")
    sandbox.control.clear()

    assert ended(result) == "succeeded"
    assert paid_generations(sandbox) == 1


@pytest.mark.usefixtures("worker")
def test_two_in_doubt(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """Two lost answers and two generations: nobody guesses which is whose, and both jobs name both."""
    faults("triggerImageGenerationJob", {"drop_after": True}, count=2)

    told = [ended(result) for result in [send(producer), send(producer)]]

    made = {generation["jobId"] for generation in sandbox.control.generations()}
    for said in told:
        assert said.startswith("trigger_uncertain: ")
        assert "was not triggered again, since that could pay twice" in said
        assert set(re.findall(r"job_\w+", said)) == made
    assert paid_generations(sandbox) == 2
    polls = sandbox.control.state()["polls"]
    assert all(polls[name] <= 2 for name in made)  # once, or once by each, and not once in every round


@pytest.mark.usefixtures("worker")
def test_asking_again_takes_longer_each_time(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """Every answer is lost, and the list shows nothing: after 2, 6 and 14 s; once in 2 s it would be six times."""
    faults("triggerImageGenerationJob", {"drop_after": True}, count=None)
    faults("listJobs", {"list_omit": 1.0}, count=None)

    result = producer.send_task("photogpt.generate_image", kwargs={"request": image_request(), "deadline_s": 12})

    assert "deadline_exceeded: " in ended(result)
    assert 2 <= paid_generations(sandbox) <= 3


@pytest.mark.usefixtures("worker")
def test_somebody_else_uses_the_key(producer: Celery, sandbox: SandboxProcess, faults: Faults) -> None:
    """A generation of another model, made with the same key by somebody else, is not taken for ours."""
    sandbox.control.model("theirs", status="ready")
    body = {"modelID": "theirs", "prompt": "not ours", "sandbox": {"duration_s": 0}}
    made = requests.post(f"{sandbox.base_url}/images/generation", json=body, headers=sandbox.headers, timeout=10)
    assert made.status_code == 200
    faults("triggerImageGenerationJob", {"drop": True})

    assert ended(send(producer)) == "succeeded"
    assert paid_generations(sandbox) == 2  # theirs, and ours
