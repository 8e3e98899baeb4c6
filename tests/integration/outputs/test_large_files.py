"""A file of 500 MB goes through a worker in small pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import image_request
from tests.running import WorkerProcess, celery_app
from worker.sandbox.remote import SandboxProcess

LARGE = 500_000_000
"""Bytes."""


@pytest.mark.long
def test_a_large_file_needs_little_memory(
    isolated_env: dict[str, str], sandbox: SandboxProcess, tmp_path: Path
) -> None:
    """A file of 500 MB raises the peak memory of a worker by less than 64 MB, and is stored whole."""
    assert sandbox.control.generations() == []
    folder = tmp_path / "stored"
    env = isolated_env | {"PHOTOGPT_OUTPUTS": folder.as_uri(), "PHOTOGPT_OUTPUTS_WHEN": "before"}
    worker = WorkerProcess(env, tmp_path / "worker.log").ready()
    try:
        with celery_app(env["PHOTOGPT_BROKER_URL"], env["PHOTOGPT_REDIS_URL"]) as app:

            def stored(size: int) -> Any:
                request = image_request(duration_s=0, file_bytes=size)
                (file,) = app.send_task("photogpt.generate_image", kwargs={"request": request}).get(timeout=110)[
                    "files"
                ]
                return file

            stored(10_000)  # modules, threads and connections exist
            before = peak_bytes(worker.child.pid)
            file = stored(LARGE)
            assert peak_bytes(worker.child.pid) - before < 64_000_000
    finally:
        worker.stop()
    with (folder / file["key"]).open("rb") as opened:
        assert hashlib.file_digest(opened, "sha256").hexdigest() == file["sha256"]
    assert file["bytes"] == LARGE


def peak_bytes(pid: int) -> int:
    """Return the highest memory use of a process so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
