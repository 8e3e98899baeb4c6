"""A separate Valkey, so that the session's worker takes no message from the workers that these tests kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import make_worker_env
from worker.cli.local.embedded import EmbeddedValkey
from worker.sandbox.remote import SandboxProcess


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A Valkey server for these tests only."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("crash-valkey"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker_url(valkey: EmbeddedValkey) -> str:
    """The broker is the same server as the store."""
    return valkey.url


@pytest.fixture(scope="session")
def worker_env(valkey: EmbeddedValkey, sandbox_process: SandboxProcess) -> dict[str, str]:
    """The environment of a worker in these tests."""
    return make_worker_env(valkey, sandbox_process)
