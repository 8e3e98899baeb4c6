"""`photogpt-worker ping`."""

from __future__ import annotations

import pytest
import redis

from tests.cli.conftest import Invoke
from worker.cli.local.processes import free_port
from worker.sandbox.remote import SandboxProcess


def test_all_is_well(invoke: Invoke) -> None:
    """With Redis and the API there, every line is a tick."""
    result = invoke("ping")
    assert result.exit_code == 0
    assert "Valkey" in result.stdout
    assert "the key is accepted" in result.stdout
    assert "✗" not in result.stdout


def test_a_wrong_key(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that PhotoGPT does not accept is said to be just that, and is not printed."""
    monkeypatch.setenv("PHOTOGPT_API_KEY", "wrong-key")
    result = invoke("ping")
    assert result.exit_code == 1
    assert "does not accept the API key" in result.stdout
    assert "wrong-key" not in result.stdout


def test_no_key(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is not set is named."""
    monkeypatch.delenv("PHOTOGPT_API_KEY")
    assert "PHOTOGPT_API_KEY is not set" in invoke("ping").stdout


def test_nothing_there(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check is made even if the first fails, each with the variable to look at."""
    port = free_port()
    monkeypatch.setenv("PHOTOGPT_REDIS_URL", f"redis://:pw@127.0.0.1:{port}/0")
    monkeypatch.setenv("PHOTOGPT_BROKER_URL", f"redis://:pw@127.0.0.1:{port}/1")
    monkeypatch.setenv("PHOTOGPT_BASE_URL", f"http://127.0.0.1:{port}/api")
    monkeypatch.delenv("PHOTOGPT_WEBHOOK_SECRETS")
    result = invoke("ping")
    assert result.exit_code == 1
    assert result.stdout.count("✗") == 3
    assert "PHOTOGPT_REDIS_URL" in result.stdout
    assert "PHOTOGPT_BROKER_URL" in result.stdout
    assert "unsigned" in result.stdout
    assert ":pw@" not in result.stdout


def test_a_broker_of_its_own(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, client: redis.Redis) -> None:
    """A broker apart from the ledger is checked as well."""
    kwargs = client.connection_pool.connection_kwargs
    monkeypatch.setenv("PHOTOGPT_BROKER_URL", f"redis://127.0.0.1:{kwargs['port']}/1")
    assert "broker" in invoke("ping").stdout


def test_a_redis_that_may_forget(invoke: Invoke, client: redis.Redis) -> None:
    """A Redis that may evict keys is refused in words."""
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert "maxmemory-policy is allkeys-lru" in invoke("ping").stdout
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_the_sandbox_is_asked_once(invoke: Invoke, sandbox: SandboxProcess) -> None:
    """A ping triggers nothing."""
    invoke("ping")
    assert sandbox.control.generations() == []
