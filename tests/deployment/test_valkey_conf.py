"""ops/valkey.conf is taken by a real Valkey, and keeps what was promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.deployment.conftest import ROOT
from tests.waiting import wait_until
from worker.cli.local.embedded import _binary
from worker.cli.local.processes import Child, free_port


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[redis.Redis]:
    """A server with our file; only where it listens and writes is the test's own."""
    port = free_port()
    own = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path))
    server = Child("valkey", [_binary(), str(ROOT / "ops/valkey.conf"), *own], log=tmp_path / "log")
    try:
        with redis.Redis(port=port, decode_responses=True, socket_timeout=2) as client:
            wait_until(lambda: _answers(client) or server.exit_code is not None, "the server starts", within=10)
            assert server.exit_code is None, (tmp_path / "log").read_text()
            yield client
    finally:
        server.stop()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_it_keeps_everything_and_evicts_nothing(configured: redis.Redis) -> None:
    """An append-only file, no snapshots, no eviction, and a limit below which it refuses instead of dying."""
    told = configured.config_get("*")
    assert told["appendonly"] == "yes"
    assert told["appendfsync"] in {"everysec", "always"}
    assert told["save"] == ""
    assert told["maxmemory-policy"] == "noeviction"
    assert told["maxmemory"] not in {None, "0"}


def test_it_holds_no_password() -> None:
    """The file is committed, so no secret stands in it."""
    directives = {line.split()[0] for line in (ROOT / "ops/valkey.conf").read_text().splitlines() if line.strip()}
    assert directives.isdisjoint({"requirepass", "user", "masterauth", "aclfile"})
