"""Files of a second stand-in, which serves them as badly as HTTP allows, are stored whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.outputs.conftest import Line, files_in, line_of, running_worker
from tests.running import Database
from tests.vendor.cases import EXPECTED, Expected
from tests.vendor.server import Vendor
from worker.cli.local.embedded import EmbeddedValkey

Sent = dict[str, str]
"""The job of each case."""


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    """The second stand-in."""
    running = Vendor({name: each.case for name, each in EXPECTED.items()})
    yield running
    running.close()


@pytest.fixture(scope="module")
def line(valkey: EmbeddedValkey, vendor: Vendor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A worker that stores the stand-in's files in a folder, and gives a file up after a few seconds."""
    place = tmp_path_factory.mktemp("odd")
    env = {
        "PHOTOGPT_BASE_URL": vendor.base_url,
        "PHOTOGPT_API_KEY": "key",
        "PHOTOGPT_REDIS_URL": Database.FILES_ALONE.url(valkey.url),
        "PHOTOGPT_JOB_POLL_INTERVAL_S": "0.3",
        "PHOTOGPT_OUTPUTS": (place / "kept").as_uri(),
        "PHOTOGPT_OUTPUTS_STALL_S": "1",
        "PHOTOGPT_OUTPUTS_DEADLINE_S": "5",
    }
    with running_worker(env, place / "worker.log") as worker, line_of(worker, env, dict) as opened:
        yield Line(worker, opened.producer, opened.client, lambda: files_in(place / "kept"))


@pytest.fixture(scope="module")
def sent(line: Line) -> Sent:
    """A job for each case, sent at once."""
    return {name: _send(line, name, each) for name, each in EXPECTED.items()}


def _send(line: Line, name: str, expected: Expected) -> str:
    return line.send("video" if expected.case.is_video else "image", request={"prompt": name})


@pytest.mark.parametrize("name", EXPECTED)
def test_stored_whole_or_not_at_all(name: str, line: Line, sent: Sent) -> None:
    """The stored file has the hash that `files` names, or `files_error` says why there is none; the job succeeds."""
    expected, job = EXPECTED[name], sent[name]
    files = line.wait_for_files(job)
    record = line.record(job)
    stored: dict[str, Any] = {key: content for key, content in line.stored().items() if job in key}
    assert record["state"] == "succeeded"
    if expected.stored is None:
        assert (files, stored) == ([], {})
        assert expected.error in record["files_error"]
        return
    [entry] = files or [record["files_error"]]
    assert stored == {entry["key"]: expected.stored}
    assert entry["sha256"] == hashlib.sha256(expected.stored).hexdigest()
    assert entry["key"].endswith(f"/{job}/1{expected.extension}")
    assert "files_error" not in record
