"""A worker that is killed or stopped in mid-transfer leaves no half file, and another one stores the whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import paid_generations
from tests.integration.outputs.conftest import Line, files_in, line_env, line_of, running_worker
from tests.integration.outputs.s3 import S3Server
from tests.running import Database, keys
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.lane import Lane
from worker.sandbox.remote import SandboxProcess

FILE_BYTES = 30_000_000
SLOW = {"bytes_per_s": 15_000_000}
LONG = os.environ.get("LONG") == "1"
KILLS = 20 if LONG else 1

OpenLine = Callable[[str], Line]


@pytest.fixture
def open_line(valkey: EmbeddedValkey, sandbox: SandboxProcess, s3: S3Server, tmp_path: Path) -> Iterator[OpenLine]:
    """Start a worker that a test may kill, with a folder or a bucket."""
    with ExitStack() as stack:

        def start(storage: str) -> Line:
            folder = tmp_path / "kept"
            where = {"PHOTOGPT_OUTPUTS": folder.as_uri()} if storage == "folder" else s3.env
            stored = (lambda: files_in(folder)) if storage == "folder" else s3.objects
            stall_s = {"PHOTOGPT_OUTPUTS_STALL_S": "30"} if storage == "frozen bucket" else {}
            env = line_env(valkey, sandbox, Database.FILES_ALONE, **where, **stall_s)
            worker = stack.enter_context(running_worker(env, tmp_path / "worker.log"))
            return stack.enter_context(line_of(worker, env, stored))

        yield start


def drafts(tmp_path: Path) -> int:
    """Return the number of files that the worker writes, or has left."""
    return sum(path.stat().st_size > 0 for path in (tmp_path / "kept" / ".unfinished").glob("*"))


def has_more(unfinished: int, s3: S3Server, tmp_path: Path) -> bool:
    """Whether a further file is in transfer."""
    return s3.unfinished() + drafts(tmp_path) > unfinished


@pytest.mark.parametrize("storage", ["bucket", pytest.param("folder", marks=pytest.mark.long)])
@pytest.mark.timeout(900 if LONG else 120)
def test_killed_in_mid_transfer(
    storage: str, open_line: OpenLine, s3: S3Server, sandbox: SandboxProcess, tmp_path: Path
) -> None:
    """After kill -9 the file is there once and whole, for one generation and one request for its download."""
    line = open_line(storage)
    before = len(line.stored())
    for kill in range(1, KILLS + 1):
        unfinished = s3.unfinished() + drafts(tmp_path)
        sandbox.control.faults([{"match": "mediaVideo", "action": SLOW, "count": 1}])
        job = line.send("video", sandbox={"file_bytes": FILE_BYTES})
        wait_until(partial(has_more, unfinished, s3, tmp_path), "a part of the file is there")

        line.worker.kill()
        assert not [key for key in line.stored() if job in key]
        line.worker.start()

        [stored] = line.wait_for_files(job)
        line.check([stored])
        assert stored["bytes"] == FILE_BYTES
        assert len([key for key in line.stored() if not key.startswith(".unfinished")]) == before + kill
        assert paid_generations(sandbox) == kill
        assert sandbox.control.state()["requests"]["createVideoDownload"] == kill
        assert drafts(tmp_path) == 0


def stop_by_signal(line: Line) -> None:
    line.worker.stop()


def stop_by_message(line: Line) -> None:
    line.producer.control.shutdown()
    wait_until(lambda: line.worker.child.exit_code is not None, "the worker has ended", within=30)
    line.worker.stop()


@pytest.mark.parametrize("stop", [stop_by_signal, stop_by_message])
def test_stopped_in_mid_transfer(
    open_line: OpenLine, sandbox: SandboxProcess, tmp_path: Path, stop: Callable[[Line], None]
) -> None:
    """A worker that SIGTERM or Celery's `shutdown` stops drops the file in transfer; the next one stores it."""
    line = open_line("folder")
    sandbox.control.faults([{"match": "mediaImage", "action": {"bytes_per_s": 500_000}}])
    job = line.send("image", sandbox={"file_bytes": FILE_BYTES})
    wait_until(lambda: drafts(tmp_path), "a part of the file is there")
    stop(line)
    assert drafts(tmp_path) == 0
    due: Any = line.client.zscore(keys.lane(Lane.FILES), job)
    seconds: Any = line.client.time()
    assert due <= seconds[0] + 1
    sandbox.control.clear()
    line.worker.start()
    line.check(line.wait_for_files(job))


def test_stopped_while_the_storage_is_frozen(open_line: OpenLine, s3: S3Server, sandbox: SandboxProcess) -> None:
    """On SIGTERM a worker leaves an upload behind that a frozen storage holds for a minute, and gives the job back."""
    line = open_line("frozen bucket")
    s3.freeze()
    try:
        job = line.send("image")
        wait_until(lambda: sandbox.control.state()["requests"].get("mediaImage"), "the image is downloaded")
        assert line.worker.child.stop(within=30) == 0
    finally:
        s3.thaw()
    due: Any = line.client.zscore(keys.lane(Lane.FILES), job)
    seconds: Any = line.client.time()
    assert due <= seconds[0] + 1
