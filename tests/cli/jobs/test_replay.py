"""`photogpt-worker replay`."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from tests.cli.conftest import Invoke
from tests.cli.jobs.test_jobs import SOON, state_of
from tests.conftest import paid_generations
from tests.running import keys
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess

pytestmark = pytest.mark.usefixtures("worker")

REFUSED = {"match": "trigger*", "count": 1, "action": {"status": 400, "message": "No such ratio."}}
BROKEN = '{"prompt": "x", "sandbox": {"duration_s": 0.2, "end": "failed"}}'


def run(invoke: Invoke, job_id: str, body: str = SOON, *argv: str) -> None:
    """Run a job until it ends."""
    invoke("submit", "image", "--request", body, "--id", job_id, "--wait", *argv)


def lost_answer(invoke: Invoke, sandbox: SandboxProcess, job_id: str) -> None:
    """Run a job until it ends without an answer to its trigger."""
    sandbox.control.faults(
        [
            {"match": "trigger*", "count": 1, "action": {"drop_after": True}},
            {"match": "listJobs", "action": {"status": 500}},
        ]
    )
    run(invoke, job_id, SOON, "--deadline", "1.5")
    sandbox.control.clear()


def test_one_job(invoke: Invoke, client: redis.Redis, sandbox: SandboxProcess) -> None:
    """`replay` of a failed job enqueues a new job with the same request, metadata and webhook settings."""
    sandbox.control.faults([REFUSED])
    extra = ("--metadata", '{"order": 7}', "--webhook-url", "http://127.0.0.1:9/hook", "--event", "job.failed")
    run(invoke, "old", SOON, *extra)

    done = invoke("replay", "old")

    assert done.exit_code == 0
    [new] = done.stdout.split()
    assert "old (failed: invalid_request) is enqueued again as" in done.stderr
    wait_until(lambda: state_of(client, new) == "succeeded", "the new job succeeds")
    before: Any = client.hgetall(keys.job("old"))
    after: Any = client.hgetall(keys.job(new))
    same = ("kind", "request", "metadata", "webhook_url", "webhook_events")
    assert [after[name] for name in same] == [before[name] for name in same]
    assert before["state"] == "failed"
    assert paid_generations(sandbox) == 1


def test_only_once(invoke: Invoke, client: redis.Redis, sandbox: SandboxProcess) -> None:
    """A second `replay` of a job is refused and names the job of the first replay."""
    sandbox.control.faults([REFUSED])
    run(invoke, "old")
    [new] = invoke("replay", "old").stdout.split()

    again = invoke("replay", "old")

    assert again.exit_code == 1
    assert f"it was replayed before, as {new}" in again.stderr
    wait_until(lambda: state_of(client, new) == "succeeded", "the new job succeeds")
    assert paid_generations(sandbox) == 1


def test_an_interrupted_replay(invoke: Invoke, client: redis.Redis, sandbox: SandboxProcess) -> None:
    """`replay` after an interrupted one enqueues the new job under the id that was chosen before."""
    sandbox.control.faults([REFUSED])
    run(invoke, "old")
    client.hset(keys.job("old"), "replayed_as", "chosen-before")

    assert invoke("replay", "old").stdout.split() == ["chosen-before"]
    # a trigger in progress would count as paid in the next test
    wait_until(lambda: state_of(client, "chosen-before") == "succeeded", "the new job succeeds")


def test_jobs_that_may_be_charged(invoke: Invoke, client: redis.Redis, sandbox: SandboxProcess) -> None:
    """`replay` of a job that PhotoGPT may have charged for needs --even-if-paid."""
    run(invoke, "tried", BROKEN)
    lost_answer(invoke, sandbox, "unresolved")

    refused = invoke("replay", "tried", "unresolved")
    forced = invoke("replay", "unresolved", "--even-if-paid")

    assert refused.exit_code == 1
    assert not refused.stdout
    assert "tried: not replayed: PhotoGPT may have charged for its generation job_" in refused.stderr
    assert (
        "unresolved: not replayed: PhotoGPT may have charged for it: the answer to its trigger was lost"
        in refused.stderr
    )
    assert forced.exit_code == 0
    [new] = forced.stdout.split()
    wait_until(lambda: state_of(client, new) == "succeeded", "the new job succeeds")
    assert paid_generations(sandbox) == 3


def test_by_state(invoke: Invoke, client: redis.Redis, sandbox: SandboxProcess) -> None:
    """`replay --state` enqueues the failed jobs again after a question, and leaves the other jobs alone."""
    sandbox.control.faults([REFUSED | {"count": 2}])
    run(invoke, "first")
    run(invoke, "second")
    run(invoke, "fine")
    run(invoke, "tried", BROKEN)

    asked = invoke("replay", "--state", "failed", input="n\n")
    done = invoke("replay", "--state", "failed", "--since", "15m", "--yes")

    assert asked.exit_code == 1
    assert "Enqueue 2 jobs again?" in asked.stderr
    assert not asked.stdout
    assert done.exit_code == 0
    assert len(done.stdout.split()) == 2
    assert "tried: not replayed" in done.stderr
    assert "nothing to replay" in invoke("replay", "--state", "failed", "--yes").stderr
    listed = [json.loads(line)["id"] for line in invoke("jobs", "--json").stdout.splitlines()]
    assert len(listed) == 6


def test_since(invoke: Invoke, client: redis.Redis, sandbox: SandboxProcess) -> None:
    """`replay --state` takes jobs that ended within an hour, or within the time that `--since` gives."""
    sandbox.control.faults([REFUSED])
    run(invoke, "old")
    client.hset(keys.job("old"), "finished_at", "2026-01-01T00:00:00.000Z")

    by_state = ("replay", "--state", "failed", "--yes")
    assert "nothing to replay" in invoke(*by_state).stderr
    assert "nothing to replay" in invoke(*by_state, "--since", "2h").stderr
    [replayed] = invoke(*by_state, "--since", "10000d").stdout.split()
    assert client.exists(keys.job(replayed))


def test_refusals(invoke: Invoke, client: redis.Redis) -> None:
    """`replay` refuses jobs that are unknown, unfinished or successful, and contradictory arguments."""
    run(invoke, "fine")
    invoke("submit", "image", "--request", '{"prompt": "x", "sandbox": {"end": "never"}}', "--id", "runs")

    result = invoke("replay", "fine", "runs", "unknown-job")

    assert result.exit_code == 1
    assert "fine: not replayed: it succeeded" in result.stderr
    assert "runs: not replayed: it has not ended: " in result.stderr
    assert "unknown-job: not replayed: there is no such job" in result.stderr
    assert invoke("replay").exit_code == 2
    assert invoke("replay", "fine", "--state", "failed").exit_code == 2
    assert "'yesterday' is no time" in invoke("replay", "--state", "failed", "--since", "yesterday").stderr


def test_an_invalid_request(invoke: Invoke, client: redis.Redis) -> None:
    """`replay` refuses a job with an invalid request and leaves its record unchanged."""
    fields: Any = {"id": "bad", "kind": "image", "state": "failed", "reason": "invalid_request", "request": "{}"}
    client.hset(keys.job("bad"), mapping=fields)

    result = invoke("replay", "bad")

    assert result.exit_code == 1
    assert "bad: not replayed: request" in result.stderr
    assert not client.hexists(keys.job("bad"), "replayed_as")
