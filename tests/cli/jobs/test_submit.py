"""`photogpt-worker submit`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.cli.commands import run
from tests.cli.conftest import Invoke
from tests.running import Receiver, keys
from tests.waiting import wait_until
from worker.cli import enqueue
from worker.cli.jobs import progress
from worker.sandbox.remote import SandboxProcess

SOON = '{"sandbox": {"duration_s": 0.5}}'

needs_worker = pytest.mark.usefixtures("worker")


@needs_worker
@pytest.mark.parametrize(
    ("argv", "printed"),
    [
        (["image", "--prompt", "a harbour", "--request", SOON], ".png"),
        (["upscale", "--image", "some-image", "--request", SOON], ".png"),
        (["video", "--prompt", "a harbour", "--count", "2", "--request", SOON], ".m3u8"),
        (["training", "--model", "mine"], "mine"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_waiting_prints_the_outputs(argv: list[str], printed: str, invoke: Invoke, sandbox: SandboxProcess) -> None:
    """`submit --wait` prints events on standard error and only the outputs on standard output, for every kind."""
    sandbox.control.model("mine", duration_s=0.5)
    result = invoke("submit", *argv, "--wait")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == (2 if "--count" in argv else 1)
    assert all(line.endswith(printed) for line in lines)
    assert ".succeeded" in result.stderr


@needs_worker
def test_one_real_process(worker_env: dict[str, str]) -> None:
    """`submit --wait --json` in a process of its own prints the outcome of the job."""
    ended = run(worker_env, "submit", "image", "--prompt", "a harbour", "--request", SOON, "--wait", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["state"] == "succeeded"


@needs_worker
def test_a_failure_is_exit_code_1(invoke: Invoke) -> None:
    """`submit --wait` of a job that fails prints its reason and ends with exit code 1."""
    body = '{"prompt": "x", "sandbox": {"duration_s": 0.3, "error": "it was too dark"}}'
    result = invoke("submit", "image", "--request", body, "--wait")
    assert result.exit_code == 1
    assert "failed: generation_failed:" in result.stderr
    assert "it was too dark" in result.stderr


@needs_worker
def test_a_deadline_is_exit_code_1(invoke: Invoke) -> None:
    """`submit --wait` of a job whose deadline passes prints the state expired and ends with exit code 1."""
    body = '{"prompt": "x", "sandbox": {"end": "never"}}'
    result = invoke("submit", "image", "--request", body, "--deadline", "1", "--wait", "--json")
    assert (result.exit_code, json.loads(result.stdout)["state"]) == (1, "expired")


@needs_worker
def test_a_passed_timeout_is_exit_code_3(invoke: Invoke) -> None:
    """`submit --wait --timeout` ends with exit code 3 and prints how to find the job later."""
    body = '{"prompt": "x", "sandbox": {"end": "never"}}'
    result = invoke("submit", "image", "--request", body, "--wait", "--timeout", "0.5", "--id", "endless")
    assert result.exit_code == 3
    assert "photogpt-worker show endless" in result.stderr


@needs_worker
def test_without_waiting_the_id_is_printed_alone(invoke: Invoke, client: redis.Redis) -> None:
    """`submit` without --wait prints only the id of the job, whose record is in Redis."""
    job_id = invoke("submit", "image", "--prompt", "x", "--request", SOON).stdout.strip()
    assert client.exists(keys.job(job_id))
    assert json.loads(invoke("submit", "image", "--prompt", "x", "--id", "mine", "--json").stdout) == {"id": "mine"}


@needs_worker
def test_every_option_reaches_the_job(invoke: Invoke, receiver: Receiver, tmp_path: Path) -> None:
    """`submit` passes metadata, webhook, events, idempotency key and a request from a file to the job."""
    body = tmp_path / "request.json"
    body.write_text('{"prompt": "x", "sandbox": {"duration_s": 0.3}}')
    argv = ["--request", f"@{body}", "--metadata", '{"order": 7}', "--webhook-url", receiver.url]
    argv += ["--event", "job.submitted", "--event", "job.succeeded", "--idempotency-key", "k", "--wait", "--json"]
    first = json.loads(invoke("submit", "image", *argv).stdout)
    second = json.loads(invoke("submit", "image", *argv).stdout)
    assert first["metadata"] == {"order": 7}
    assert first["generation_id"] == second["generation_id"]
    wait_until(
        lambda: {"job.submitted", "job.succeeded"} == {received.json["type"] for received in receiver.requests},
        "both events arrive, and no others",
    )


@needs_worker
def test_a_known_idempotency_key_with_another_request_is_exit_code_2(invoke: Invoke) -> None:
    """`submit` with a used idempotency key and another request ends with exit code 2."""
    assert invoke("submit", "image", "--prompt", "x", "--idempotency-key", "k").exit_code == 0
    result = invoke("submit", "image", "--prompt", "y", "--idempotency-key", "k")
    assert (result.exit_code, "idempotency_key" in result.stderr) == (2, True)


@needs_worker
def test_a_job_that_stays_queued_is_explained(
    invoke: Invoke, sandbox: SandboxProcess, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`submit --wait` prints why a job is still queued after a few seconds."""
    monkeypatch.setattr(progress, "HINT_AFTER_S", 0.5)
    wait_until(lambda: client.exists(keys.workers), "the worker has reported itself")
    sandbox.control.keys(revoke=["sandbox-key"])
    try:
        result = invoke("submit", "image", "--prompt", "x", "--wait", "--timeout", "1")
    finally:
        sandbox.control.keys(add=["sandbox-key"])
    assert result.exit_code == 3
    assert "still queued: PhotoGPT does not accept the API key" in result.stderr


@needs_worker
def test_a_request_from_standard_input(invoke: Invoke, sandbox: SandboxProcess) -> None:
    """`submit --request -` reads the request from standard input."""
    body = '{"prompt": "a kite", "sandbox": {"duration_s": 0.3}}'
    assert invoke("submit", "image", "--request", "-", "--wait", input=body).exit_code == 0
    assert [made["prompt"] for made in sandbox.control.generations()] == ["a kite"]


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["image"], "request.prompt"),
        (["upscale"], "request.imageID"),
        (["training"], "request.modelID"),
        (["image", "--prompt", "x", "--deadline", "-1"], "deadline_s"),
        (["image", "--prompt", "x", "--not-before", "tomorrow"], "not_before: must be a time as RFC 3339 text"),
        (["image", "--prompt", "x", "--not-before", "2101-01-01"], "not_before: is more than 366 days ahead"),
        (["image", "--prompt", "x", "--delay", "-1"], "delay_s"),
        (["image", "--prompt", "x", "--event", "job.dancing"], "webhook_events"),
        (["image", "--prompt", "x", "--webhook-url", "ftp://there"], "webhook_url"),
        (["image", "--prompt", "x", "--image", "i"], "--image means nothing for image"),
        (["upscale", "--image", "i", "--prompt", "x"], "--prompt means nothing for upscale"),
        (["training", "--model", "m", "--count", "2"], "--count means nothing for training"),
        (["image", "--request", "{"], "is not JSON"),
        (["image", "--request", "[]"], "must be a JSON object"),
        (["image", "--request", "@/nowhere"], "cannot read /nowhere"),
        (["image", "--request", "@/proc"], "cannot read /proc: Is a directory"),
        (["image", "--request", "@/dev/zero"], "cannot read /dev/zero: it has more than 10 MB"),
        (["image", "--request", f"@{sys.executable}"], "is not text in UTF-8"),
        (["image", "--prompt", "x", "--metadata", '{"a": [NaN]}'], "metadata.a.0: is not a finite number"),
        (["image", "--prompt", "x", "--metadata", '{"a": "\\ud83d"}'], "metadata.a: contains half a surrogate pair"),
        (
            ["image", "--prompt", "x", "--metadata", '{"a": {"__type__": "x", "__value__": 1}}'],
            "metadata.a: has the keys",
        ),
        (["image", "--prompt", "x", "--metadata", '{"a": ' + "[" * 200 + "]" * 200 + "}"], "metadata: is nested"),
        (["image", "--prompt", "x", "--metadata", '{"a": ' + "[" * 50_000 + "]" * 50_000 + "}"], "is not JSON"),
        (["image", "--prompt", "x", "--metadata", '{"a": ' + "9" * 5000 + "}"], "is not JSON"),
        (["dance"], "'dance' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_arguments_are_exit_code_2(argv: list[str], named: str, invoke: Invoke, client: redis.Redis) -> None:
    """`submit` refuses an invalid argument by name with exit code 2 and writes nothing to Redis."""
    result = invoke("submit", *argv)
    assert result.exit_code == 2
    assert named in result.stderr
    assert client.keys(keys.job("*")) == []


def test_a_redis_that_refuses_writes(invoke: Invoke, client: redis.Redis) -> None:
    """`submit` to a Redis that refuses writes ends with exit code 1, and nothing was enqueued."""
    client.config_set("min-replicas-to-write", 1)
    try:
        refused = invoke("submit", "image", "--prompt", "x")
        shown = invoke("status")
    finally:
        client.config_set("min-replicas-to-write", 0)
    assert refused.exit_code == 1
    assert "repair the replicas (NOREPLICAS" in refused.stderr
    assert "nothing was enqueued" in refused.stderr
    assert shown.exit_code == 1
    assert "Redis answers, but cannot be used: fewer replicas are connected" in " ".join(shown.stdout.split())


def test_without_a_worker_the_job_waits_in_the_inbox(
    invoke: Invoke, isolated_env: dict[str, str], isolated_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`submit` without a worker appends the job, prints its id, and says that no worker runs."""
    monkeypatch.setattr(enqueue, "ACCEPT_WAIT_S", 0.1)
    monkeypatch.setenv("PHOTOGPT_REDIS_URL", isolated_env["PHOTOGPT_REDIS_URL"])
    result = invoke("submit", "image", "--prompt", "x", "--id", "later")
    assert (result.exit_code, result.stdout) == (0, "later\n")
    assert "no worker runs" in result.stderr
    assert "the job waits in the inbox" in result.stderr
    read: Any = isolated_client.xrange(keys.inbox)
    ((_, entry),) = read
    assert json.loads(entry["job"])["id"] == "later"
