"""ops/valkey.conf: a real Valkey accepts it and has the promised options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.deployment.conftest import ROOT
from tests.waiting import wait_until
from worker.cli.local.embedded import valkey_binary
from worker.cli.local.processes import Child, free_port


@pytest.fixture
def client_of_configured(tmp_path: Path) -> Iterator[redis.Redis]:
    """A client of a server with the file; only its addresses and its directory belong to the test."""
    port = free_port()
    own = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path))
    server = Child("valkey", [valkey_binary(), str(ROOT / "ops/valkey.conf"), *own], log=tmp_path / "log")
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


def test_durability_and_eviction(client_of_configured: redis.Redis) -> None:
    """Valkey with the file has an append-only file, no snapshots, no eviction and a memory limit."""
    options = client_of_configured.config_get("*")
    assert options["appendonly"] == "yes"
    assert options["appendfsync"] in {"everysec", "always"}
    assert options["save"] == ""
    assert options["maxmemory-policy"] == "noeviction"
    assert options["maxmemory"] not in {None, "0"}


def test_no_password() -> None:
    """The committed file contains no password."""
    directives = {line.split()[0] for line in (ROOT / "ops/valkey.conf").read_text().splitlines() if line.strip()}
    assert directives.isdisjoint({"requirepass", "user", "masterauth", "aclfile"})
