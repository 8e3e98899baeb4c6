"""Our Python client: a job is stored before `submit` returns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from celery import Celery
from kombu import pools

from config.settings import Settings
from tests.conftest import image_request, paid_generations
from tests.running import WorkerProcess
from worker.client import Client, SubmissionError, WaitTimeout
from worker.sandbox.remote import SandboxProcess


@pytest.fixture
def client_of_ours(client: redis.Redis, sandbox: SandboxProcess, settings: Settings) -> Iterator[Client]:
    """Our client, on an empty database."""
    with Client(settings=settings) as opened:
        yield opened


def test_submit_and_wait(client_of_ours: Client, session_worker: WorkerProcess) -> None:
    """A client gets the outcome from `wait`, and the same one later by the job's id."""
    job = client_of_ours.submit("image", image_request(), metadata={"order": 7})

    outcome = job.wait(timeout=20)

    assert outcome["state"] == "succeeded"
    assert client_of_ours.job(job.id).wait(timeout=5) == outcome == job.outcome()


def test_its_celery_result_is_stored_too(
    client_of_ours: Client, session_worker: WorkerProcess, producer: Celery
) -> None:
    """A job of our client also has a Celery result under its id."""
    job = client_of_ours.submit("image", image_request())

    assert producer.AsyncResult(job.id).get(timeout=20) == job.outcome()


def test_accepted_means_kept(
    client_of_ours: Client, client: redis.Redis, session_worker: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """A job that was accepted runs even when every message of it is lost."""
    client.hincrby("photogpt:lane:{triggers}:loop", "token", 100)
    job = client_of_ours.submit("image", image_request())
    client.delete("photogpt.triggers")
    client.hincrby("photogpt:lane:{triggers}:loop", "token", 100)

    assert job.wait(timeout=20)["state"] == "succeeded"
    assert paid_generations(sandbox) == 1


def test_bad_arguments_raise_at_once(client_of_ours: Client, client: redis.Redis) -> None:
    """Bad arguments raise SubmissionError before anything is stored."""
    with pytest.raises(SubmissionError, match=r"request.prompt: is required"):
        client_of_ours.submit("image", {"modelID": "nanobanana"})

    assert not list(client.scan_iter("photogpt:job:*"))


def test_the_same_job_twice_is_one(
    client_of_ours: Client, session_worker: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """A second `submit` under the same job id starts nothing, and with another request it is refused."""
    jobs = [client_of_ours.submit("image", image_request(), job_id="order-1") for _ in range(2)]

    assert [job.wait(timeout=20)["id"] for job in jobs] == ["order-1", "order-1"]
    assert paid_generations(sandbox) == 1
    with pytest.raises(SubmissionError, match=r"job_id: job order-1 exists, with another request"):
        client_of_ours.submit("image", image_request(seed=3), job_id="order-1")


def test_a_wait_ends(client_of_ours: Client) -> None:
    """A `wait` that times out raises WaitTimeout, and the job goes on."""
    job = client_of_ours.submit("image", image_request(duration_s=60))

    with pytest.raises(WaitTimeout, match=r"has not ended within 0.2 s"):
        job.wait(timeout=0.2)
    assert dict(job.outcome() or {"finished_at": ""})["finished_at"] is None


def test_beside_an_app_of_the_producers_own(settings: Settings, producer: Celery, worker: WorkerProcess) -> None:
    """Our client leaves kombu's process-wide pool limit as the producer's own Celery app has set it."""
    del worker
    assert (
        producer.pool.limit
    )  # opening its pool sets kombu's limit, which another test's app may have left at any value
    before = pools.get_limit()
    with Client(settings=settings) as client, client._app.producer_pool.acquire(block=True):
        producer.send_task("photogpt.cancel", args=["no job"])
        assert pools.get_limit() == before
