"""The process: start, end, journal and command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.sandbox.conftest import Api
from tests.sandbox.description import Description
from worker.sandbox.remote import SandboxProcess
from worker.sandbox.state.journal import Journal


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command until it exits."""
    command = [sys.executable, "-m", "worker.sandbox", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_what_was_created_survives_a_kill(tmp_path: Path, description: Description) -> None:
    """After SIGKILL, a start with the same journal restores all records, and files have the same bytes."""
    journal = tmp_path / "journal.jsonl"
    with SandboxProcess("--journal", str(journal)) as process:
        api = Api(process, description)
        process.control.model("demo-anna", status="ready", images=2, duration_s=0)
        job_id, failed = api.image_id(duration_s=0, file_bytes=9999), api.image_id(duration_s=0, error="NSFW")
        endless, video = api.image_id(statuses=["running"], end="never"), api.video_id(duration_s=0)
        api.get("/models/demo-anna/train")
        video_id = api.job(video)["videos"][0]["id"]
        api.get(f"/videos/{video_id}/create-download")
        deleted = api.job(api.image_id(duration_s=0))["images"][0]["id"]
        api.delete(f"/images/{deleted}")
        jobs = [job_id, failed, endless, video]
        before = [api.job(each) for each in jobs], api.listed(), api.get("/models").json()
        url = before[0][0]["images"][0]["url"]
        file = requests.get(url, timeout=20).content
        process.kill()
        process.restart()
        assert len(requests.get(url, timeout=20).content) == 9999
        assert requests.get(url, timeout=20).content == file
        after = [api.job(each) for each in jobs], api.listed(), api.get("/models").json()
        assert after == before
        assert api.get(f"/images/{deleted}").status_code == 404
        assert api.get(f"/videos/{video_id}/download").status_code == 200
        assert len(api.get("/models/demo-anna/images").json()["result"]) == 2
        api.session.close()


def test_without_a_journal_nothing_survives(description: Description) -> None:
    """A restart without a journal starts empty."""
    with SandboxProcess() as process:
        api = Api(process, description)
        job_id = api.image_id()
        process.restart()
        assert api.get(f"/jobs/{job_id}").status_code == 404
        api.session.close()


def test_a_reset_is_in_the_journal_too(tmp_path: Path, description: Description) -> None:
    """Records from before a reset stay deleted after a restart, and the models of the command line exist."""
    with SandboxProcess("--journal", str(tmp_path / "j"), "--model", "demo-a=ready", "--model", "demo-b") as process:
        api = Api(process, description)
        api.image_id()
        process.control.reset()
        process.restart()
        state = process.control.state()
        assert (state["generations"], state["models"]) == ([], {"demo-a": "ready", "demo-b": "new"})
        api.session.close()


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    """The journal removes an incomplete last line and appends after the last complete one."""
    path = tmp_path / "journal"
    path.write_bytes(b'{"deleted":{"id":"image_1"}}\n{"deleted":{"id":"ima')
    journal = Journal(path)
    assert list(journal.replay()) == [("deleted", {"id": "image_1"})]
    journal.append("deleted", {"id": "image_2"})
    journal.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"deleted": {"id": "image_1"}}, {"deleted": {"id": "image_2"}}]


def test_faults_can_be_given_at_the_start(tmp_path: Path, description: Description) -> None:
    """Fault rules from a file apply from the first request on, and again after a reset."""
    rules = tmp_path / "faults.json"
    rules.write_text(json.dumps([{"match": "ping", "count": 1, "action": {"status": 503}}]))
    with SandboxProcess("--faults", str(rules), "--duration", "image=0", "--key", "second") as process:
        api = Api(process, description)
        assert [api.get("/ping").status_code for _ in range(2)] == [503, 200]
        process.control.reset()
        assert api.get("/ping", headers={"Authorization": "Bearer second"}).status_code == 503
        assert api.job(api.image().json()["result"]["jobId"])["status"] == "success"
        api.session.close()


def test_sigterm_ends_it_in_good_order() -> None:
    """SIGTERM stops the sandbox with exit code 0, even with an open connection."""
    process = SandboxProcess()
    process.start()
    child = process._process
    assert child is not None
    process.control.state()
    process.stop()
    assert child.returncode == 0


def test_help_names_the_options_and_defaults() -> None:
    """The help lists the options and the default durations."""
    shown = run("--help")
    assert shown.returncode == 0
    assert all(option in shown.stdout for option in ("--duration", "--max-active", "--journal", "training 60 s"))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(("--duration", "image=fast"), "'fast'"), (("--page-size", "0"), "page-size"), (("--port", "-1"), "--port")],
)
def test_a_bad_option_is_refused(arguments: tuple[str, ...], error: str) -> None:
    """An invalid option exits with 2 and an error that names the option or its value."""
    refused = run(*arguments)
    assert refused.returncode == 2
    assert error in refused.stderr


def test_a_sandbox_that_cannot_start_raises() -> None:
    """The launcher raises an error when the sandbox exits before it listens."""
    with pytest.raises(RuntimeError, match="did not start"):
        SandboxProcess("--page-size", "0").start()


def test_a_sandbox_that_does_not_run_has_no_control() -> None:
    """A sandbox that is not running has neither a control client nor a process id."""
    process = SandboxProcess()
    with pytest.raises(RuntimeError, match="not running"):
        _ = process.control
    with pytest.raises(RuntimeError, match="not running"):
        _ = process.pid
    process.stop()
