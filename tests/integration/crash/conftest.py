"""A Valkey apart, so that the session's worker takes no message from the workers that these tests kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import make_worker_env
from worker.cli.local.embedded import EmbeddedValkey
from worker.sandbox.remote import SandboxProcess


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A server of these tests' own."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey-apart"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker_url(valkey: EmbeddedValkey) -> str:
    """Messages are where the ledger is."""
    return valkey.url


@pytest.fixture(scope="session")
def worker_env(valkey: EmbeddedValkey, sandbox_process: SandboxProcess) -> dict[str, str]:
    """What a worker in these tests is told."""
    return make_worker_env(valkey, sandbox_process)
