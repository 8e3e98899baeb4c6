"""`jobs`, `show`, `watch` and `cancel`."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.cli.commands import Running
from tests.cli.conftest import Invoke
from tests.waiting import wait_until
from worker.cli import queries
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import free_port
from worker.store import keys

NEVER = '{"prompt": "x", "sandbox": {"end": "never"}}'
SOON = '{"prompt": "x", "sandbox": {"duration_s": 0.3}}'


def state_of(client: redis.Redis, job_id: str) -> str | None:
    """Return the state that the ledger has."""
    found: Any = client.hget(keys.job(job_id), "state")
    return str(found) if found else None


@pytest.mark.usefixtures("worker")
def test_jobs_lists_and_filters(invoke: Invoke) -> None:
    """`jobs` shows each job once, newest first, and only what was asked for."""
    assert invoke("submit", "image", "--request", SOON, "--id", "first", "--wait").exit_code == 0
    assert invoke("submit", "upscale", "--image", "i", "--request", SOON, "--id", "second", "--wait").exit_code == 0
    listed = [json.loads(line)["id"] for line in invoke("jobs", "--json").stdout.splitlines()]
    assert listed == ["second", "first"]
    table = invoke("jobs", "--kind", "image").stdout
    assert " first " in table
    assert " second " not in table
    assert "no such job" in invoke("jobs", "--state", "failed").stderr
    assert len(invoke("jobs", "--limit", "1", "--json").stdout.splitlines()) == 1


def test_no_job_yet(invoke: Invoke, client: redis.Redis) -> None:
    """An empty ledger is told as such, with a hint at what to do."""
    assert "submit" in invoke("jobs").stderr


@pytest.mark.usefixtures("worker")
def test_older_batches_of_the_stream_are_read(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, client: redis.Redis
) -> None:
    """The list goes on beyond one batch of events."""
    for name in ("one", "two"):
        assert invoke("submit", "image", "--request", SOON, "--id", name, "--wait").exit_code == 0
    monkeypatch.setattr(queries, "BATCH", 2)
    listed = [json.loads(line)["id"] for line in invoke("jobs", "--json").stdout.splitlines()]
    assert listed == ["two", "one"]


@pytest.mark.usefixtures("worker")
def test_show_tells_everything(invoke: Invoke) -> None:
    """`show` tells outcome, request, events with times, and webhooks with their attempts."""
    refused = f"http://127.0.0.1:{free_port()}/hook"
    argv = ["--request", SOON, "--id", "shown", "--webhook-url", refused, "--metadata", '{"order": 7}', "--wait"]
    assert invoke("submit", "image", *argv).exit_code == 0
    found = wait_until(lambda: _attempted(invoke), "a webhook was tried")
    assert [event["type"] for event in found["events"]][:: len(found["events"]) - 1] == ["job.queued", "job.succeeded"]
    assert found["deliveries"][0]["attempts"][0]["number"] == 1
    text = invoke("show", "shown").stdout
    assert all(word in text for word in ("succeeded", '{"order": 7}', "job.submitted", "pending", "attempt 1", ".png"))


@pytest.mark.usefixtures("worker")
def test_show_tells_what_stands_in_the_way(invoke: Invoke, client: redis.Redis) -> None:
    """`show` of a job under way tells what happens next, and when it gives up."""
    invoke("submit", "image", "--request", NEVER, "--id", "waits")
    wait_until(lambda: state_of(client, "waits") == "submitted", "it is submitted")
    text = invoke("show", "waits").stdout
    assert "PhotoGPT is looked at" in text
    assert "deadline" in text


def test_show_of_an_unknown_job(invoke: Invoke, client: redis.Redis) -> None:
    """A job that nobody knows is exit code 1 and a sentence."""
    result = invoke("show", "nobody")
    assert result.exit_code == 1
    assert "there is no job nobody" in result.stderr


@pytest.mark.usefixtures("worker")
def test_cancel_explains_the_money(invoke: Invoke, client: redis.Redis) -> None:
    """A triggered job is canceled, and the answer says that it is charged all the same."""
    invoke("submit", "image", "--request", NEVER, "--id", "endless")
    wait_until(lambda: state_of(client, "endless") == "submitted", "it is submitted")
    result = invoke("cancel", "endless")
    assert result.exit_code == 0
    assert "charged" in result.stdout


@pytest.mark.usefixtures("worker")
def test_cancel_of_what_has_ended(invoke: Invoke) -> None:
    """A job that has ended stays as it is, and the exit code says so."""
    invoke("submit", "image", "--request", SOON, "--id", "done", "--wait")
    result = invoke("cancel", "done")
    assert result.exit_code == 1
    assert "had ended already: succeeded" in result.stderr


@pytest.mark.usefixtures("worker")
def test_cancel_without_a_worker(invoke: Invoke, valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no worker answers, that is said; so is that nobody knows the job."""
    invoke("submit", "image", "--request", NEVER, "--id", "alone")
    monkeypatch.setenv("PHOTOGPT_BROKER_URL", valkey.url.replace("/0", "/5"))  # where no worker listens
    result = invoke("cancel", "alone", "--timeout", "0.3")
    assert result.exit_code == 1
    assert "no worker answered" in result.stderr
    assert "no job nobody" in invoke("cancel", "nobody").stderr


@pytest.mark.usefixtures("worker")
def test_watch_once(invoke: Invoke) -> None:
    """`watch --once` prints the jobs and how many wait in each lane."""
    invoke("submit", "image", "--request", SOON, "--id", "seen", "--wait")
    text = invoke("watch", "--once").stdout
    assert "seen" in text
    assert "waiting: triggers 0, jobs 0" in text


@pytest.mark.usefixtures("worker")
def test_watch_follows(invoke: Invoke, worker_env: dict[str, str], tmp_path: Path) -> None:
    """Without a terminal, `watch` prints a line for each event, until Ctrl-C."""
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
        assert watching.signalled(signal.SIGINT) == 0
    finally:
        watching.child.stop()


def _attempted(invoke: Invoke) -> Any:
    found = json.loads(invoke("show", "shown", "--json").stdout)
    return found if found["deliveries"] and found["deliveries"][0]["attempts"] else None
