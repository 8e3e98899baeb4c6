"""The process: how it starts, ends, and what it remembers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.conftest import Api
from tests.sandbox.description import Description
from worker.sandbox.journal import Journal
from worker.sandbox.remote import SandboxProcess


def ask(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command to its end."""
    command = [sys.executable, "-m", "worker.sandbox", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_what_was_created_survives_a_kill(tmp_path: Path, description: Description) -> None:
    """After kill -9 and a start with the same journal everything is as it was."""
    journal = tmp_path / "journal.jsonl"
    with SandboxProcess("--journal", str(journal)) as process:
        api = Api(process, description)
        process.control.model("demo-anna", status="ready", images=2, duration_s=0)
        job_id, failed = api.image_id(duration_s=0), api.image_id(duration_s=0, error="NSFW")
        endless, video = api.image_id(statuses=["running"], end="never"), api.video_id(duration_s=0)
        api.get("/models/demo-anna/train")
        video_id = api.job(video)["videos"][0]["id"]
        api.get(f"/videos/{video_id}/create-download")
        deleted = api.job(api.image_id(duration_s=0))["images"][0]["id"]
        api.delete(f"/images/{deleted}")
        jobs = [job_id, failed, endless, video]
        before = [api.job(each) for each in jobs], api.listed(), api.get("/models").json()
        process.kill()
        process.restart()
        after = [api.job(each) for each in jobs], api.listed(), api.get("/models").json()
        assert after == before
        assert api.get(f"/images/{deleted}").status_code == 404
        assert api.get(f"/videos/{video_id}/download").status_code == 200
        assert len(api.get("/models/demo-anna/images").json()["result"]) == 2
        api.session.close()


def test_without_a_journal_nothing_survives(description: Description) -> None:
    """A restart in good order forgets."""
    with SandboxProcess() as process:
        api = Api(process, description)
        job_id = api.image_id()
        process.restart()
        assert api.get(f"/jobs/{job_id}").status_code == 404
        api.session.close()


def test_a_reset_is_in_the_journal_too(tmp_path: Path, description: Description) -> None:
    """What was before it does not come back, and the model of the command line does."""
    with SandboxProcess("--journal", str(tmp_path / "j"), "--model", "demo-a=ready", "--model", "demo-b") as process:
        api = Api(process, description)
        api.image_id()
        process.control.reset()
        process.restart()
        state = process.control.state()
        assert (state["generations"], state["models"]) == ([], {"demo-a": "ready", "demo-b": "new"})
        api.session.close()


def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    """The journal goes on behind the last whole line."""
    path = tmp_path / "journal"
    path.write_bytes(b'{"deleted":{"id":"image_1"}}\n{"deleted":{"id":"ima')
    journal = Journal(path)
    assert list(journal.replay()) == [("deleted", {"id": "image_1"})]
    journal.append("deleted", {"id": "image_2"})
    journal.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"deleted": {"id": "image_1"}}, {"deleted": {"id": "image_2"}}]


def test_faults_can_be_given_at_the_start(tmp_path: Path, description: Description) -> None:
    """A file of rules holds from the first request on, and again after a reset."""
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
    """The exit code is 0, even with a connection open."""
    process = SandboxProcess()
    process.start()
    child = process._process
    assert child is not None
    process.control.state()
    process.stop()
    assert child.returncode == 0


def test_help_names_the_options_and_defaults() -> None:
    """The help says how long things take."""
    shown = ask("--help")
    assert shown.returncode == 0
    assert all(option in shown.stdout for option in ("--duration", "--max-active", "--journal", "training 60 s"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(("--duration", "image=fast"), "'fast'"), (("--page-size", "0"), "page-size"), (("--port", "-1"), "--port")],
)
def test_a_bad_option_is_refused(arguments: tuple[str, ...], complaint: str) -> None:
    """The complaint names the option or what was written."""
    refused = ask(*arguments)
    assert refused.returncode == 2
    assert complaint in refused.stderr


def test_a_sandbox_that_cannot_start_is_told() -> None:
    """The launcher does not wait for a line that never comes."""
    with pytest.raises(RuntimeError, match="did not start"):
        SandboxProcess("--page-size", "0").start()


def test_a_sandbox_that_does_not_run_has_no_control() -> None:
    """Asking for it, or for its process, is a mistake of the caller."""
    process = SandboxProcess()
    with pytest.raises(RuntimeError, match="not running"):
        _ = process.control
    with pytest.raises(RuntimeError, match="not running"):
        _ = process.pid
    process.stop()
