"""The embedded Valkey."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from worker.cli.local import embedded
from worker.cli.local.embedded import EmbeddedBusy, EmbeddedValkey


def test_two_servers_never_share_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that another server uses is refused, and free again when that server has ended."""
    monkeypatch.setattr(embedded, "LOCK_S", 0.1)
    first = EmbeddedValkey(tmp_path)
    try:
        with pytest.raises(EmbeddedBusy, match="PHOTOGPT_DATA_DIR"):
            EmbeddedValkey(tmp_path)
    finally:
        first.stop()
    EmbeddedValkey(tmp_path).stop()


def test_data_survives_a_restart(tmp_path: Path) -> None:
    """A server that is stopped and started again on its directory has the same data."""
    server = EmbeddedValkey(tmp_path)
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    server.stop()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"yes"
    server.stop()
