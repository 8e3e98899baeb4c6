"""No fault of a download or of the storage fails a job, and none leaves half a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from tests.integration.outputs.conftest import Line
from tests.integration.outputs.s3 import S3Server
from tests.waiting import wait_until
from worker.cli.main import cli
from worker.sandbox.remote import SandboxProcess

ONCE = (
    ({"status": 403}, "answered 403"),
    ({"status": 503}, "answered 503"),
    ({"html": 200}, "is text, not a picture or video"),
    ({"reset_half_body": True}, "the download broke"),
    ({"reset_half_body": True, "without_length": True}, "before the end of the file"),
    ({"stall_after": 1000}, "the download made no progress"),
    ({"drop": True}, "the download broke"),
    ({"redirect": "http://10.0.0.1/{id}.png"}, "PHOTOGPT_OUTPUTS_ALLOW_NETWORKS"),
)
"""What goes wrong with the file of an image, and what the log says."""


def fail(sandbox: SandboxProcess, match: str, action: dict[str, Any], *, count: int = 1) -> None:
    """Let an operation of the sandbox fail a few times."""
    sandbox.control.faults([{"match": match, "action": action, "count": count}])


def test_every_fault_is_retried(sandbox: SandboxProcess, folder_line: Line) -> None:
    """Refused, cut, stalled, broken and redirected downloads are tried again, and every file is whole in the end."""
    sandbox.control.faults(
        [{"match": "mediaImage", "action": fault, "after": after, "count": 1} for after, (fault, _) in enumerate(ONCE)]
    )
    jobs = [folder_line.send("image") for _ in ONCE]
    for job in jobs:
        folder_line.check(folder_line.wait_for_files(job))
        assert "files_error" not in folder_line.record(job)
    text = folder_line.worker.text()
    assert [said for _, said in ONCE if said not in text] == []


def test_an_expired_url_is_read_again(sandbox: SandboxProcess, folder_line: Line) -> None:
    """If the URL of the record has expired, a fresh one is read from PhotoGPT at once."""
    sandbox.control.options(media_ttl_s=0.3)
    fail(sandbox, "mediaImage", {"status": 503})  # the retry comes after the end of the first URL
    job = folder_line.send("image")
    ended = folder_line.outcome(job)
    [stored] = folder_line.wait_for_files(job)
    folder_line.check([stored])
    assert stored["source_url"] != ended["images"][0]["url"]


def test_the_key_stays_at_the_api(sandbox: SandboxProcess, folder_line: Line) -> None:
    """Another host never gets the API key, even if it asks; the API's own host gets it when it asks."""
    sandbox.control.options(media_url=f"http://localhost:{urlsplit(sandbox.base_url).port}")
    fail(sandbox, "mediaImage", {"status": 401})
    folder_line.check(folder_line.wait_for_files(folder_line.send("image")))
    assert sandbox.control.state()["media_with_key"] == 0

    sandbox.control.options(media_url=None)
    fail(sandbox, "mediaImage", {"status": 401})
    folder_line.check(folder_line.wait_for_files(folder_line.send("image")))
    assert sandbox.control.state()["media_with_key"] == 1


@pytest.mark.parametrize(
    ("match", "action", "requests"),
    [
        ("createVideoDownload", {"drop_after": True}, 1),
        ("createVideoDownload", {"status": 503}, 2),
        ("getVideoDownload", {"unknown_status": "failed"}, 2),
        ("getVideoDownload", {"status": 404}, 1),
        ("mediaVideo", {"redirect": "/media/{id}.m3u8"}, 2),
    ],
    ids=["lost answer", "unavailable", "failed", "not known yet", "playlist"],
)
def test_faults_of_the_two_steps(
    sandbox: SandboxProcess, folder_line: Line, match: str, action: dict[str, Any], requests: int
) -> None:
    """A video is stored after a fault of its download, which is requested again only where that is needed."""
    fail(sandbox, match, action)
    [stored] = folder_line.wait_for_files(folder_line.send("video"))
    assert stored["content_type"] == "video/mp4"
    folder_line.check([stored])
    assert sandbox.control.state()["requests"]["createVideoDownload"] <= requests


def photogpt_worker(env: dict[str, str], *argv: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(cli, argv, env=env, prog_name="photogpt-worker")


def test_given_up_and_stored_again(
    sandbox: SandboxProcess, folder_line: Line, folder_env: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    """A body that never ends is given up; `replay --files` stores the file later, and `files get` fetches it."""
    fail(sandbox, "mediaImage", {"endless": True}, count=3)
    job = folder_line.send("image")
    assert folder_line.wait_for_files(job) == []
    record = folder_line.record(job)
    assert record["state"] == "succeeded"
    assert "image 1: the file is larger than PHOTOGPT_OUTPUTS_MAX_BYTES" in record["files_error"]
    assert "larger than" in photogpt_worker(folder_env, "show", job).output
    assert photogpt_worker(folder_env, "files", "get", job).exit_code == 1
    assert not [path for path in folder.rglob("*") if job in path.parts and path.is_file()]

    assert "stored again" in photogpt_worker(folder_env, "replay", "--files", job).output
    wait_until(lambda: "files" in folder_line.record(job), "the file is stored")
    [stored] = json.loads(folder_line.record(job)["files"])
    folder_line.check([stored])
    assert "files_error" not in folder_line.record(job)
    assert stored["key"] in photogpt_worker(folder_env, "files", "list", job).output
    fetched = photogpt_worker(folder_env, "files", "get", job, "--to", str(tmp_path))
    assert Path(fetched.output.strip()).read_bytes() == folder_line.stored()[stored["key"]]
    assert "not done: every file is stored" in photogpt_worker(folder_env, "replay", "--files", job).output
    events: Any = folder_line.client.xrange(f"photogpt:job:{{{job}}}:events")
    assert [fields["type"] for _, fields in events][-2:] == ["job.not_stored", "job.stored"]


@pytest.mark.parametrize("frozen", [False, pytest.param(True, marks=pytest.mark.long)], ids=["killed", "frozen"])
def test_the_bucket_comes_back(
    frozen: bool, sandbox: SandboxProcess, s3_line: Line, s3_env: dict[str, str], s3: S3Server
) -> None:
    """Jobs wait for an unavailable bucket without a log line each, and `status` names it; their files follow."""
    already = len(s3_line.worker.text())
    s3.freeze() if frozen else s3.stop()
    jobs = [s3_line.send("image") for _ in range(12)]
    wait_until(lambda: "cannot store" in s3_line.record(jobs[0]).get("error", ""), "an attempt has failed", within=40)
    wait_until(lambda: {s3_line.record(job).get("reason") for job in jobs} == {"storing"}, "all jobs wait", within=40)
    assert "no file can be stored; 12" in photogpt_worker(s3_env, "status").output.replace("\n", " ")
    s3.thaw() if frozen else s3.start()
    for ended in map(s3_line.outcome, jobs):
        assert (ended["state"], ended["files_error"]) == ("succeeded", None)
        s3_line.check(ended["files"])
    said = s3_line.worker.text()[already:]
    began, ended = map(said.count, ("outputs.unavailable", "outputs.recovered"))
    assert 1 <= began == ended <= 2  # an attempt from before the start may fail after another has succeeded
    failed = [line for line in said.splitlines() if "file.attempt_failed" in line]
    assert [line for line in failed if "cannot store" in line] == []  # a download may stall on a busy machine
    assert "no file can be stored" not in photogpt_worker(s3_env, "status").output
