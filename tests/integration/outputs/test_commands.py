"""`files get`, `files list`, `show` and `replay --files` for jobs and storages in bad states."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.integration.outputs.conftest import Line
from tests.waiting import wait_until
from worker.cli.main import cli
from worker.sandbox.remote import SandboxProcess


@pytest.fixture
def env(folder_env: dict[str, str], sandbox: SandboxProcess) -> dict[str, str]:
    """The settings of the line that stores into a folder, after the sandbox was emptied."""
    del sandbox
    return folder_env


def run(env: dict[str, str], *argv: str) -> Result:
    """Run a command in this process; no exception of any kind may leave it."""
    done = CliRunner().invoke(cli, argv, env=env, prog_name="photogpt-worker")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_jobs_without_files(env: dict[str, str], folder_line: Line, sandbox: SandboxProcess) -> None:
    """Each command says in a sentence why a job has no files: unknown, in progress, failed, or still being stored."""
    sandbox.control.faults([{"match": "mediaImage", "action": {"status": 503}}])
    stored_soon = folder_line.send("image")
    failed = folder_line.send("image", sandbox={"end": "failed"})
    running = folder_line.send("image", sandbox={"duration_s": 60})
    with pytest.raises(Exception, match="failed"):
        folder_line.outcome(failed)
    wait_until(lambda: "answered 503" in run(env, "show", stored_soon).output, "an attempt has failed")

    for job, get, replay in (
        ("no-such-job", "there is no job no-such-job", "there is no such job"),
        (running, "has no stored files: its state is", "it has not succeeded"),
        (failed, "has no stored files: its state is failed", "it has not succeeded"),
        (stored_soon, "being stored; the last attempt failed: image 1", "are being stored already"),
    ):
        got, again = run(env, "files", "get", job), run(env, "replay", "--files", job)
        assert (got.exit_code, get in got.output) == (1, True), got.output
        assert (again.exit_code, replay in again.output) == (int(job != stored_soon), True), again.output
    assert run(env, "files", "list", "no-such-job").exit_code == 1
    assert run(env, "files", "list", running, failed).exit_code == 0
    assert run(env, "show", "no-such-job").exit_code == 1
    run(env, "cancel", running)
    sandbox.control.clear()
    folder_line.wait_for_files(stored_soon)


def test_some_files(env: dict[str, str], folder_line: Line, sandbox: SandboxProcess, tmp_path: Path) -> None:
    """`files get` fetches what is stored, says what is not, and ends with 1."""
    sandbox.control.faults([{"match": "mediaImage", "action": {"endless": True}, "count": 3, "after": 1}])
    job = folder_line.send("image", request={"numImages": 2})
    [stored] = folder_line.wait_for_files(job)
    done = run(env, "files", "get", job, "--to", str(tmp_path))
    assert done.exit_code == 1
    assert "PHOTOGPT_OUTPUTS_MAX_BYTES" in done.stderr
    assert Path(done.stdout.strip()).stat().st_size == stored["bytes"]


def test_places_that_cannot_be_written(env: dict[str, str], folder_line: Line, tmp_path: Path) -> None:
    """`files get` replaces a file, and says in one line each why another place cannot be written."""
    job = folder_line.send("image")
    [stored] = folder_line.wait_for_files(job)
    target = tmp_path / f"{job}-1.png"
    target.write_text("old")
    assert run(env, "files", "get", job, "--to", str(tmp_path)).exit_code == 0
    assert target.stat().st_size == stored["bytes"]

    done = run(env, "files", "get", job, "--to", str(target))
    assert (done.exit_code, "is a file" in done.output) == (2, True), done.output
    done = run(env, "files", "get", job, "--to", str(target / "below"))
    assert (done.exit_code, f"cannot write {target}" in done.output) == (1, True), done.output
    target.unlink()
    target.mkdir()
    done = run(env, "files", "get", job, "--to", str(tmp_path))
    assert (done.exit_code, f"cannot write {target}: Is a directory" in done.output) == (1, True), done.output
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_files_that_the_storage_lost(env: dict[str, str], folder_line: Line, folder: Path, tmp_path: Path) -> None:
    """`files get` says that a file was changed or deleted, or that the storage does not answer."""
    job = folder_line.send("image")
    [stored] = folder_line.wait_for_files(job)
    (folder / stored["key"]).write_bytes(b"changed")
    get = ("files", "get", job, "--to", str(tmp_path))
    assert "the file has been changed since" in run(env, *get).output
    (folder / stored["key"]).unlink()
    assert "No such file" in run(env, *get).output
    assert "every file is stored" in run(env, "replay", "--files", job).output

    bucket = env | {"PHOTOGPT_OUTPUTS": "s3://outputs/kept", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    done = run(bucket | keys, *get)
    assert (done.exit_code, "Connection refused" in done.output) == (1, True), done.output
    done = run(bucket | keys | {"AWS_ENDPOINT_URL": "127.0.0.1:9"}, *get)
    assert (done.exit_code, "AWS_ENDPOINT_URL must be a URL" in done.output) == (2, True), done.output
    assert list(tmp_path.iterdir()) == []
