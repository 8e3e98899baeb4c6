"""A file of 500 MB goes through a worker in small pieces."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.outputs.conftest import line_env, line_of, running_worker
from tests.integration.outputs.s3 import S3Server
from tests.running import Database
from worker.cli.local.embedded import EmbeddedValkey
from worker.sandbox.remote import SandboxProcess

LARGE = 500_000_000
"""Bytes."""
MAX_GROWTH = 64_000_000
"""Bytes of memory."""


@pytest.mark.long
@pytest.mark.parametrize("storage", ["folder", "s3"])
def test_a_large_file_needs_little_memory(
    storage: str, valkey: EmbeddedValkey, sandbox: SandboxProcess, s3: S3Server, tmp_path: Path
) -> None:
    """A file of 500 MB raises the peak memory of a worker by less than 64 MB, in a folder and in a bucket."""
    target = s3.env if storage == "s3" else {"PHOTOGPT_OUTPUTS": (tmp_path / "kept").as_uri()}
    env = line_env(valkey, sandbox, Database.FILES_ALONE, **target, PHOTOGPT_OUTPUTS_STALL_S="30")
    with running_worker(env, tmp_path / "worker.log") as worker, line_of(worker, env, dict) as line:
        line.wait_for_files(line.send("image", sandbox={"file_bytes": 20_000_000}))  # everything is loaded
        before = peak_bytes(line.worker.child.pid)
        [file] = line.wait_for_files(line.send("image", sandbox={"file_bytes": LARGE}), within=100)
        assert file["bytes"] == LARGE
        assert peak_bytes(line.worker.child.pid) - before < MAX_GROWTH


def peak_bytes(pid: int) -> int:
    """Return the highest memory use of a process so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
