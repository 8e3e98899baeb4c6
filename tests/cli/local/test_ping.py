"""`photogpt-worker ping`."""

from __future__ import annotations

import pytest
import redis

from tests.cli.conftest import Invoke
from worker.cli.local.processes import free_port
from worker.sandbox.remote import SandboxProcess


def test_everything_answers(invoke: Invoke) -> None:
    """`ping` prints a tick for Redis and for the API when both answer."""
    result = invoke("ping")
    assert result.exit_code == 0
    assert "Valkey" in result.stdout
    assert "the key is accepted" in result.stdout
    assert "✗" not in result.stdout


def test_a_wrong_key(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ping` says that PhotoGPT does not accept the API key, without printing the key."""
    monkeypatch.setenv("PHOTOGPT_API_KEY", "wrong-key")
    result = invoke("ping")
    assert result.exit_code == 1
    assert "does not accept the API key" in result.stdout
    assert "wrong-key" not in result.stdout


def test_no_key(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ping` names PHOTOGPT_API_KEY if it is not set."""
    monkeypatch.delenv("PHOTOGPT_API_KEY")
    assert "PHOTOGPT_API_KEY is not set" in invoke("ping").stdout


def test_nothing_answers(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ping` runs every check even if the first one fails, and names the variable of each."""
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


def test_another_broker(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, client: redis.Redis) -> None:
    """`ping` checks a broker that is another server than Redis."""
    kwargs = client.connection_pool.connection_kwargs
    monkeypatch.setenv("PHOTOGPT_BROKER_URL", f"redis://127.0.0.1:{kwargs['port']}/1")
    assert "broker" in invoke("ping").stdout


def test_a_redis_that_evicts_keys(invoke: Invoke, client: redis.Redis) -> None:
    """`ping` refuses a Redis whose maxmemory-policy can evict keys."""
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert "maxmemory-policy is allkeys-lru" in invoke("ping").stdout
    finally:
        client.config_set("maxmemory-policy", "noeviction")


def test_no_generation_is_triggered(invoke: Invoke, sandbox: SandboxProcess) -> None:
    """`ping` triggers no generation at PhotoGPT."""
    assert invoke("ping").exit_code == 0
    assert sandbox.control.generations() == []
