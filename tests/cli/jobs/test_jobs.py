"""`photogpt-worker jobs`, `show`, `watch` and `cancel`."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.cli.commands import Running
from tests.cli.conftest import Invoke
from tests.running import Database, keys
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import free_port
from worker.store import job_history

NEVER = '{"prompt": "x", "sandbox": {"end": "never"}}'
SOON = '{"prompt": "x", "sandbox": {"duration_s": 0.3}}'


def state_of(client: redis.Redis, job_id: str) -> str | None:
    """Return the state of a job's record."""
    found: Any = client.hget(keys.job(job_id), "state")
    return str(found) if found else None


@pytest.mark.usefixtures("worker")
def test_jobs_lists_and_filters(invoke: Invoke) -> None:
    """`jobs` lists each job once, newest first, and filters by kind, state and number."""
    assert invoke("submit", "image", "--request", SOON, "--id", "first", "--wait").exit_code == 0
    assert invoke("submit", "upscale", "--image", "i", "--request", SOON, "--id", "second", "--wait").exit_code == 0
    listed = [json.loads(line)["id"] for line in invoke("jobs", "--json").stdout.splitlines()]
    assert listed == ["second", "first"]
    table = invoke("jobs", "--kind", "image").stdout
    assert " first " in table
    assert " second " not in table
    assert "no job matches" in invoke("jobs", "--state", "failed").stderr
    assert len(invoke("jobs", "--limit", "1", "--json").stdout.splitlines()) == 1


def test_no_job_yet(invoke: Invoke, client: redis.Redis) -> None:
    """`jobs` without any job in Redis prints how to submit one."""
    assert "submit" in invoke("jobs").stderr


@pytest.mark.usefixtures("worker")
def test_older_batches_of_the_stream_are_read(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, client: redis.Redis
) -> None:
    """`jobs` reads older batches of the event stream until every job is listed."""
    for name in ("one", "two"):
        assert invoke("submit", "image", "--request", SOON, "--id", name, "--wait").exit_code == 0
    monkeypatch.setattr(job_history, "BATCH", 2)
    listed = [json.loads(line)["id"] for line in invoke("jobs", "--json").stdout.splitlines()]
    assert listed == ["two", "one"]


@pytest.mark.usefixtures("worker")
def test_show_prints_everything(invoke: Invoke, client: redis.Redis) -> None:
    """`show` prints outcome, request, events and webhooks with their attempts, and no status from before a success."""
    refused = f"http://127.0.0.1:{free_port()}/hook"
    argv = ["--request", SOON, "--id", "shown", "--webhook-url", refused, "--metadata", '{"order": 7}', "--wait"]
    assert invoke("submit", "image", *argv).exit_code == 0
    found = wait_until(lambda: _attempted(invoke), "a webhook was tried")
    assert [event["type"] for event in found["events"]][:: len(found["events"]) - 1] == ["job.queued", "job.succeeded"]
    assert found["deliveries"][0]["attempts"][0]["number"] == 1
    client.hset(keys.job("shown"), "photogpt_status", "running")  # as the poll before the end found it
    text = invoke("show", "shown").stdout
    assert "PhotoGPT's status" not in text
    assert all(word in text for word in ("succeeded", '{"order": 7}', "job.submitted", "pending", "attempt 1", ".png"))


@pytest.mark.usefixtures("worker")
def test_show_of_an_unfinished_job(invoke: Invoke, client: redis.Redis) -> None:
    """`show` of an unfinished job prints its next step and its deadline."""
    invoke("submit", "image", "--request", NEVER, "--id", "waits")
    wait_until(lambda: state_of(client, "waits") == "submitted", "it is submitted")
    text = invoke("show", "waits").stdout
    assert "poll of the generation in" in text
    assert "deadline" in text


def test_show_of_an_unknown_job(invoke: Invoke, client: redis.Redis) -> None:
    """`show` of an unknown job prints one sentence and ends with exit code 1."""
    result = invoke("show", "unknown-job")
    assert result.exit_code == 1
    assert "there is no job unknown-job" in result.stderr


@pytest.mark.usefixtures("worker")
def test_cancel_of_a_triggered_job(invoke: Invoke, client: redis.Redis) -> None:
    """`cancel` of a triggered job prints that PhotoGPT charges for it."""
    invoke("submit", "image", "--request", NEVER, "--id", "endless")
    wait_until(lambda: state_of(client, "endless") == "submitted", "it is submitted")
    result = invoke("cancel", "endless")
    assert result.exit_code == 0
    assert "charged" in result.stdout


@pytest.mark.usefixtures("worker")
def test_cancel_of_an_ended_job(invoke: Invoke, client: redis.Redis) -> None:
    """`cancel` of a job that has ended changes nothing and ends with exit code 1."""
    invoke("submit", "image", "--request", SOON, "--id", "done", "--wait")
    result = invoke("cancel", "done")
    assert result.exit_code == 1
    assert "had ended before as succeeded" in result.stderr
    assert state_of(client, "done") == "succeeded"


@pytest.mark.usefixtures("worker")
def test_cancel_without_a_worker(invoke: Invoke, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cancel` ends with exit code 1 if no worker answers or the job is unknown."""
    invoke("submit", "image", "--request", NEVER, "--id", "alone")
    monkeypatch.setenv("PHOTOGPT_BROKER_URL", Database.NO_WORKER.url(valkey.url))
    result = invoke("cancel", "alone", "--timeout", "0.3")
    assert result.exit_code == 1
    assert "no worker answered" in result.stderr
    assert "no job unknown-job" in invoke("cancel", "unknown-job").stderr


@pytest.mark.usefixtures("worker")
def test_cancel_of_a_job_that_the_workers_do_not_know(
    invoke: Invoke, client: redis.Redis, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cancel` prints the refusal of a worker whose store has no such job, and ends with exit code 1."""
    invoke("submit", "image", "--request", NEVER, "--id", "alone")
    client.copy(keys.job("alone"), keys.job("elsewhere"), destination_db=str(Database.NO_WORKER.value), replace=True)
    monkeypatch.setenv("PHOTOGPT_BROKER_URL", valkey.url)  # Redis publishes a result to every database
    monkeypatch.setenv("PHOTOGPT_REDIS_URL", Database.NO_WORKER.url(valkey.url))
    result = invoke("cancel", "elsewhere")
    assert result.exit_code == 1
    assert "there is no job 'elsewhere'" in result.stderr


@pytest.mark.usefixtures("worker")
def test_watch_once(invoke: Invoke) -> None:
    """`watch --once` prints the jobs and the number of waiting entries of each lane."""
    invoke("submit", "image", "--request", SOON, "--id", "seen", "--wait")
    text = invoke("watch", "--once").stdout
    assert "seen" in text
    assert "waiting: triggers 0, jobs 0" in text


@pytest.mark.usefixtures("worker")
def test_watch_prints_new_events(invoke: Invoke, worker_env: dict[str, str], tmp_path: Path) -> None:
    """`watch` without a terminal prints one line for each new event until Ctrl-C."""
    invoke("submit", "image", "--request", SOON, "--id", "before", "--wait")
    watching = Running(tmp_path / "watch.log", worker_env, "watch")
    try:
        wait_until(
            lambda: (
                invoke("submit", "image", "--request", SOON, "--wait").exit_code == 0
                and "job.succeeded" in watching.text()
            ),
            "an event is printed",
        )
        assert "before" not in watching.text()
        assert watching.end_with(signal.SIGINT) == 0
    finally:
        watching.child.stop()


def _attempted(invoke: Invoke) -> Any:
    found = json.loads(invoke("show", "shown", "--json").stdout)
    return found if found["deliveries"] and found["deliveries"][0]["attempts"] else None
