"""Fixtures that put the tests of a folder on their own Valkey: import all three into the folder's conftest.py.

The session's worker lives as long as its process of tests. On its own server it takes no message and no due job from
tests that call the store themselves, or whose workers are killed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import make_worker_env
from worker.cli.local.embedded import EmbeddedValkey
from worker.sandbox.remote import SandboxProcess


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A Valkey server for the tests of this folder only."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("separate-valkey"))
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
