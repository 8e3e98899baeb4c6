"""Script calls of several threads, which share round trips to a real Valkey."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.waiting import wait_until
from worker.store.round_trip import MAX_WAIT_S, RoundTrips
from worker.telemetry.shortage import is_shortage

CALLS = 20
NAME = "round-trips"
ECHO, FAIL = "return ARGV[1]", "return redis.error_reply('NO ' .. ARGV[1])"


@pytest.fixture
def named(client: redis.Redis) -> Iterator[redis.Redis]:
    """A client whose connections Valkey knows by a name."""
    kwargs = client.connection_pool.connection_kwargs | {"client_name": NAME}
    with redis.Redis(connection_pool=redis.ConnectionPool(**kwargs)) as opened:
        yield opened


def connections(client: redis.Redis) -> int:
    """Return how many connections have that name."""
    return sum(each["name"] == NAME for each in client.client_list())


def test_calls_of_threads_share_round_trips(client: redis.Redis, named: redis.Redis) -> None:
    """Calls that threads make while Redis answers nothing share connections, and each gets its own answer."""
    sha, round_trips, start = str(client.script_load(ECHO)), RoundTrips(named), threading.Barrier(CALLS)

    def call(number: int) -> str:
        start.wait()
        return str(round_trips.call(sha, [], [number]))

    client.client_pause(400)
    with ThreadPoolExecutor(CALLS) as threads:
        answers = list(threads.map(call, range(CALLS)))

    assert answers == [str(number) for number in range(CALLS)]
    assert connections(client) < CALLS


def test_an_error_reaches_its_own_call_only(client: redis.Redis, named: redis.Redis) -> None:
    """Of calls in one round trip, those whose script fails raise that, and the others have their answers."""
    echo, fail = str(client.script_load(ECHO)), str(client.script_load(FAIL))
    round_trips = RoundTrips(named)

    def call(number: int) -> str:
        try:
            return str(round_trips.call(fail if number % 2 else echo, [], [number]))
        except redis.ResponseError as error:
            return str(error)

    client.client_pause(200)
    with ThreadPoolExecutor(CALLS) as threads:
        answers = list(threads.map(call, range(CALLS)))

    assert answers == [f"NO {number}" if number % 2 else str(number) for number in range(CALLS)]


def test_a_value_that_cannot_be_sent_reaches_its_own_call_only(client: redis.Redis, named: redis.Redis) -> None:
    """Of calls in one round trip, the one with a value that Redis cannot take raises, and the others are sent."""
    sha, round_trips = str(client.script_load(ECHO)), RoundTrips(named)

    def call(number: int) -> str:
        try:
            return str(round_trips.call(sha, [], [number or {"no": "text"}]))
        except redis.DataError:
            return "refused"

    client.client_pause(200)
    with ThreadPoolExecutor(CALLS) as threads:
        answers = list(threads.map(call, reversed(range(CALLS))))

    assert answers == [str(number) if number else "refused" for number in reversed(range(CALLS))]


def test_a_refused_connection_reaches_every_call() -> None:
    """Without Redis, each of the calls that share a round trip raises, and so do later ones."""
    with redis.Redis(port=1, retry=Retry(NoBackoff(), 0)) as unreachable, ThreadPoolExecutor(CALLS) as threads:
        round_trips = RoundTrips(unreachable)

        def call(_: int) -> type[Exception] | None:
            try:
                round_trips.call("0" * 40, [], [])
            except redis.ConnectionError as error:
                return type(error)
            return None

        for _ in range(2):
            assert set(threads.map(call, range(CALLS))) == {redis.ConnectionError}


def test_an_error_keeps_its_cause() -> None:
    """A call for whose connection the process has no open file left raises an error that says so."""
    with (
        patch("socket.socket", side_effect=OSError(errno.EMFILE, "Too many open files")),
        redis.Redis(port=1, retry=Retry(NoBackoff(), 0)) as unreachable,
        pytest.raises(redis.ConnectionError) as raised,
    ):
        RoundTrips(unreachable).call("0" * 40, [], [])
    assert is_shortage(raised.value)


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Let Python change threads after a microsecond, so that calls meet at every point."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("quick_switches")
def test_many_threads_lose_no_call(client: redis.Redis, named: redis.Redis) -> None:
    """Threads that call one after another all end, each with its own answers, while Redis pauses again and again."""
    sha, round_trips, wrong = str(client.script_load(ECHO)), RoundTrips(named), list[tuple[str, object]]()

    def work(name: int) -> None:
        for number in range(60):
            sent = f"{name}:{number}"
            answer = round_trips.call(sha, [], [sent])
            if answer != sent:
                wrong.append((sent, answer))

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in range(CALLS)]
    for thread in threads:
        thread.start()

    def ended() -> bool:
        client.client_pause(int(1000 * MAX_WAIT_S))  # so that calls stop waiting for others while these are answered
        return not any(thread.is_alive() for thread in threads)

    wait_until(ended, "every thread has its answers", within=60)
    assert not wrong
