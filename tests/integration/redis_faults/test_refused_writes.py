"""Redis is gone, frozen, read-only, full, slow or forgetful: the worker stays, and every job ends well afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import redis

from tests.integration.redis_faults.conftest import Line, full, lasts, read_only, without_replicas


def quiet(line: Line) -> None:
    """Sentences, not floods: no traceback, and of each trouble a few lines."""
    text = line.log()
    assert "Traceback" not in text, text
    told = Counter(entry.split()[3] for entry in text.splitlines() if " WARNING " in entry or " ERROR " in entry)
    assert all(count <= 20 for count in told.values()), told


@pytest.mark.parametrize("seconds", [2, pytest.param(25, marks=pytest.mark.long)])
def test_gone(line: Line, seconds: float) -> None:
    """Killed, away for a while, and back."""
    ids = line.enqueue(5, duration_s=2)
    line.parked(5)

    line.server.kill()
    lasts(seconds)
    line.server.start()

    line.fine(ids)
    quiet(line)


def test_frozen(line: Line) -> None:
    """It takes connections and answers nothing for eight seconds: every wait has an end."""
    ids = line.enqueue(5, duration_s=2)
    line.parked(5)

    line.server.freeze()
    lasts(8)
    line.server.thaw()

    line.fine(ids)
    quiet(line)


@pytest.mark.parametrize("outage", [read_only, without_replicas])
def test_read_only(line: Line, outage: Callable[[redis.Redis], AbstractContextManager[None]]) -> None:
    """A primary that was made a replica, or has lost its replicas, refuses every write for a while."""
    ids = line.enqueue(5, duration_s=2)
    line.parked(5)

    with outage(line.client):
        with pytest.raises(redis.ResponseError):
            line.client.set("a", "b")
        lasts(5)

    line.fine(ids)
    quiet(line)


def test_out_of_memory(line: Line) -> None:
    """With noeviction and no memory left writes are refused; when there is memory again, all goes on."""
    ids = line.enqueue(5, duration_s=2)
    line.parked(5)

    with full(line.client):
        with pytest.raises(redis.OutOfMemoryError):
            line.client.set("a", "b")
        lasts(5)

    line.fine(ids)
    quiet(line)


@pytest.mark.parametrize("outage", [read_only, without_replicas, full])
def test_refused_while_messages_are_fetched(
    line: Line, outage: Callable[[redis.Redis], AbstractContextManager[None]]
) -> None:
    """Redis begins to refuse between taking a message and noting it, and while PhotoGPT is asked: none is lost."""
    ids = line.enqueue(20)

    with outage(line.client):
        lasts(3)

    line.fine(ids)
    quiet(line)


def test_slow(line: Line) -> None:
    """Every command waits for three seconds, below every limit: nothing fails, nothing is repeated."""
    ids = line.enqueue(5, duration_s=1)
    line.parked(5)

    line.client.client_pause(3000)

    line.fine(ids)
    quiet(line)


def test_scripts_forgotten(line: Line) -> None:
    """SCRIPT FLUSH at any time: the scripts load themselves."""
    ids = line.enqueue(5, duration_s=1)
    line.parked(5)

    line.client.script_flush()

    line.fine(ids)
    quiet(line)


def test_connections_killed(line: Line) -> None:
    """CLIENT KILL TYPE normal, five times."""
    ids = line.enqueue(5, duration_s=2)
    line.parked(5)

    for _ in range(5):
        line.client.client_kill_filter(_type="normal", skipme=True)
        lasts(0.3)

    line.fine(ids)
    quiet(line)
