"""A message that outlives its connection, on a real broker."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from kombu import Connection
from kombu.transport import redis as transport

from worker.cli.embedded import EmbeddedValkey
from worker.consumer import PatientQoS


@pytest.fixture
def orphan(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A message in hand whose connection was closed for an outage, and the errors that Celery expects of it."""
    monkeypatch.setattr(transport.Channel, "QoS", PatientQoS)
    with Connection(valkey.url) as connection:
        queue = connection.SimpleQueue("orphans")
        queue.put({"a": 1})
        message: Any = queue.get(timeout=5)
        errors = (*connection.connection_errors, *connection.channel_errors)
    message.channel.connection = message.channel._pool = None
    return message, errors


def test_acknowledging_it(orphan: Any) -> None:
    """It is told, and the worker goes on: anything else that is raised there ends it."""
    message, errors = orphan
    message.ack_log_error(logging.getLogger("a test"), errors)


def test_handing_it_back(orphan: Any) -> None:
    """The same for a message that the ledger could not take."""
    message, errors = orphan
    message.reject_log_error(logging.getLogger("a test"), errors, requeue=True)
