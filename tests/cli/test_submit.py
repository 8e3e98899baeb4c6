"""`photogpt-worker submit`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from tests.cli.commands import run
from tests.cli.conftest import Invoke
from tests.running import Receiver
from tests.waiting import wait_until
from worker.cli.jobs import progress
from worker.sandbox.remote import SandboxProcess
from worker.store import keys

SOON = '{"sandbox": {"duration_s": 0.5}}'

pytestmark = pytest.mark.usefixtures("worker")


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
def test_waiting_prints_what_came_out(argv: list[str], printed: str, invoke: Invoke, sandbox: SandboxProcess) -> None:
    """`--wait` shows the events on standard error and the outputs alone on standard output, for every kind."""
    sandbox.control.model("mine", duration_s=0.5)
    result = invoke("submit", *argv, "--wait")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == (2 if "--count" in argv else 1)
    assert all(line.endswith(printed) for line in lines)
    assert ".succeeded" in result.stderr


def test_one_real_process(worker_env: dict[str, str]) -> None:
    """The real process behaves as the command in this one does."""
    ended = run(worker_env, "submit", "image", "--prompt", "a harbour", "--request", SOON, "--wait", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["state"] == "succeeded"


def test_a_failure_is_exit_code_1(invoke: Invoke) -> None:
    """A job that fails is told with its reason, and ends with exit code 1."""
    body = '{"prompt": "x", "sandbox": {"duration_s": 0.3, "error": "it was too dark"}}'
    result = invoke("submit", "image", "--request", body, "--wait")
    assert result.exit_code == 1
    assert "failed: generation_failed:" in result.stderr
    assert "it was too dark" in result.stderr


def test_a_deadline_is_exit_code_1(invoke: Invoke) -> None:
    """A job whose deadline passes ends as expired."""
    body = '{"prompt": "x", "sandbox": {"end": "never"}}'
    result = invoke("submit", "image", "--request", body, "--deadline", "1", "--wait", "--json")
    assert (result.exit_code, json.loads(result.stdout)["state"]) == (1, "expired")


def test_a_passed_timeout_is_exit_code_3(invoke: Invoke) -> None:
    """Whoever waits no longer is told how to find the job, which goes on."""
    body = '{"prompt": "x", "sandbox": {"end": "never"}}'
    result = invoke("submit", "image", "--request", body, "--wait", "--timeout", "0.5", "--id", "endless")
    assert result.exit_code == 3
    assert "photogpt-worker show endless" in result.stderr


def test_without_waiting_the_id_is_printed_alone(invoke: Invoke, client: redis.Redis) -> None:
    """Standard output is the id and nothing else, and the ledger has a job of that id."""
    job_id = invoke("submit", "image", "--prompt", "x", "--request", SOON).stdout.strip()
    assert client.exists(keys.job(job_id))
    assert json.loads(invoke("submit", "image", "--prompt", "x", "--id", "mine", "--json").stdout) == {"id": "mine"}


def test_everything_a_producer_can_say(invoke: Invoke, receiver: Receiver, tmp_path: Path) -> None:
    """Metadata, webhook, events, idempotency key and a request from a file all arrive."""
    body = tmp_path / "request.json"
    body.write_text('{"prompt": "x", "sandbox": {"duration_s": 0.3}}')
    argv = ["--request", f"@{body}", "--metadata", '{"order": 7}', "--webhook-url", receiver.url]
    argv += ["--event", "job.submitted", "--event", "job.succeeded", "--idempotency-key", "k", "--wait", "--json"]
    first = json.loads(invoke("submit", "image", *argv).stdout)
    second = json.loads(invoke("submit", "image", *argv).stdout)
    assert first["metadata"] == {"order": 7}
    assert first["generation_id"] == second["generation_id"]
    wait_until(
        lambda: {"job.submitted", "job.succeeded"} <= {received.json["type"] for received in receiver.requests},
        "both events arrive",
    )


def test_a_known_idempotency_key_with_another_request_is_exit_code_2(invoke: Invoke) -> None:
    """What the ledger refuses is told like any other wrong argument."""
    assert invoke("submit", "image", "--prompt", "x", "--idempotency-key", "k").exit_code == 0
    result = invoke("submit", "image", "--prompt", "y", "--idempotency-key", "k")
    assert (result.exit_code, "idempotency_key" in result.stderr) == (2, True)


def test_what_stays_in_the_queue_is_explained(
    invoke: Invoke, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that stays in the queue is told to do so, with what stands in its way."""
    monkeypatch.setattr(progress, "PATIENCE_S", 0.5)
    sandbox.control.keys(revoke=["sandbox-key"])
    try:
        result = invoke("submit", "image", "--prompt", "x", "--wait", "--timeout", "1")
    finally:
        sandbox.control.keys(add=["sandbox-key"])
    assert result.exit_code == 3
    assert "still queued: PhotoGPT does not accept the API key" in result.stderr


def test_a_request_from_standard_input(invoke: Invoke) -> None:
    """`--request -` reads standard input."""
    body = '{"prompt": "x", "sandbox": {"duration_s": 0.3}}'
    assert invoke("submit", "image", "--request", "-", "--wait", input=body).exit_code == 0
