"""`photogpt-worker status`, and what other commands say while no worker runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import redis

from config.settings import Settings
from tests.cli.conftest import Invoke
from tests.running import WorkerProcess, keys
from tests.waiting import wait_until
from worker.cli.jobs import progress
from worker.cli.local.processes import free_port
from worker.cli.status.report import Report

PAGE = Path(__file__).parents[2] / "ops" / "docs" / "status.md"
SOON = '{"prompt": "x", "sandbox": {"duration_s": 0.3}}'
FAILS = '{"prompt": "x", "sandbox": {"duration_s": 0.3, "error": "it was [too] dark"}}'


def shown(invoke: Invoke) -> Any:
    """Return what `status --json` prints."""
    return json.loads(invoke("status", "--json").stdout)


@pytest.fixture
def healthy(client: redis.Redis, worker: WorkerProcess) -> WorkerProcess:
    """The session's worker, after it has noticed that a fixture emptied its Redis; `status` forgets that loss."""
    wait_until(lambda: client.exists(keys.data), "the worker is seen")
    client.hdel(keys.data, "lost_at")
    return worker


@pytest.mark.usefixtures("healthy")
def test_a_healthy_service(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` of a service that works ends with 0, fits into 80 columns, and lists workers and failed jobs."""
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke("submit", "image", "--request", SOON, "--wait").exit_code == 0
    assert invoke("submit", "image", "--request", FAILS, "--id", "dark", "--wait").exit_code == 1
    wait_until(lambda: shown(invoke)["healthy"], "the service is healthy")
    report = shown(invoke)
    assert [worker["running"] for worker in report["workers"]].count(True) >= 1
    assert (report["last_errors"][0]["job"], report["last_errors"][0]["reason"]) == ("dark", "generation_failed")
    assert report["lanes"]["jobs"]["last_claim_s_ago"] >= 0
    screen = invoke("status")
    assert screen.exit_code == 0
    assert "it was [too] dark" in " ".join(screen.stdout.split())
    assert max(len(line) for line in screen.stdout.splitlines()) <= 80


def test_the_page_describes_the_json() -> None:
    """The page of `status` has a row for each field of the JSON, and no other."""
    table = PAGE.read_text(encoding="utf-8").partition("| field |")[2].partition("\n\n")[0]
    names = [name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert sorted(names) == sorted(get_type_hints(Report))


def test_no_worker_runs(invoke: Invoke, isolated_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no worker runs, `status` ends with 1, and `jobs` and `submit --wait` say so too."""
    monkeypatch.setattr(progress, "HINT_AFTER_S", 0.0)
    waited = invoke("submit", "image", "--prompt", "x", "--id", "alone", "--wait", "--timeout", "2")
    assert waited.exit_code == 3
    assert "still waiting: no worker runs" in waited.stderr
    listed = invoke("jobs")
    assert "no worker runs" in listed.stderr
    assert "1 new job waits in the inbox" in listed.stderr
    message = '{"body": "", "headers": {"task": "photogpt.generate_image"}}'
    redis.Redis.from_url(isolated_settings.queue_url).lpush("another-queue", message)
    status = invoke("status")
    assert status.exit_code == 1
    assert "no worker reads the list 'another-queue'" in " ".join(status.stdout.split())
    assert "no worker runs" in status.stdout
    assert shown(invoke)["messages"]["inbox"] == 1


def test_redis_does_not_answer(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` says in one sentence that Redis does not answer, also as JSON, and ends with 1."""
    monkeypatch.setenv("PHOTOGPT_REDIS_URL", f"redis://:secret@127.0.0.1:{free_port()}/0")
    result = invoke("status", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert not report["healthy"]
    assert "Redis does not answer at redis://:…@127.0.0.1" in report["problems"][0]
    assert "secret" not in result.output


@pytest.mark.usefixtures("healthy")
def test_a_broker_that_does_not_answer(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` shows the rest of the service when only the broker does not answer."""
    monkeypatch.setenv("PHOTOGPT_BROKER_URL", f"redis://:secret@127.0.0.1:{free_port()}/0")
    report = shown(invoke)
    assert "the broker does not answer" in report["problems"][0]
    assert "secret" not in json.dumps(report)
    assert report["messages"]["waiting"] is None
