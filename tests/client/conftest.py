"""Clients of the producers' package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from photogpt_client import Client
from worker.cli.local.embedded import EmbeddedValkey

LONELY = "lonely"


@pytest.fixture
def producer_client(valkey: EmbeddedValkey) -> Iterator[Client]:
    """A producer's client of the session's Valkey."""
    with Client(valkey.url) as opened:
        yield opened


@pytest.fixture
def lonely_client(valkey: EmbeddedValkey, client: redis.Redis) -> Iterator[Client]:
    """A producer's client in a namespace without workers, on an empty Valkey."""
    del client
    with Client(valkey.url, namespace=LONELY) as opened:
        yield opened


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server that a test may stop."""
    server = EmbeddedValkey(tmp_path / "valkey")
    yield server
    server.stop()
