"""Sends the script calls of several threads in one round trip to Redis.

A call takes its thread five system calls, and at each of them Python lets another thread run. Calls that threads make
while one is on its way are sent together by one of these threads (group commit): `ops/adr/0012-mechanisms.md`.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from copy import copy
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

MAX_WAIT_S = 0.02  # of a call for the round trip of others: Redis may be far away, or silent


class _Call:
    """One call of a script, and what its thread waits for."""

    def __init__(self, sha: str, keys: Sequence[Any], args: Sequence[Any]) -> None:
        self.command = "EVALSHA", sha, len(keys), *keys, *args
        self.answered = False
        self.answer: Any = None
        #: Gets an item when the call is answered, or when its thread may send it.
        self.signals: SimpleQueue[None] = SimpleQueue()


class RoundTrips:
    """The calls that wait for a round trip, and how many round trips are under way."""

    def __init__(self, client: redis.Redis) -> None:
        """Use one client."""
        self._client: Any = client
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._under_way = 0

    def call(self, sha: str, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """Return the answer of a script.

        Raises:
            redis.RedisError: Redis is unavailable, has no such script, or the script raised.
        """
        call = _Call(sha, keys, args)
        with self._lock:
            self._waiting.append(call)
            calls = [] if self._under_way else self._take()
        timeout_s: float | None = MAX_WAIT_S
        while not (calls or call.answered):
            with suppress(Empty):
                call.signals.get(timeout=timeout_s)
            with self._lock:
                calls = self._take() if call in self._waiting else []
            timeout_s = None  # another thread has sent it
        if calls:
            self._send(calls)
        if isinstance(call.answer, Exception):
            raise copy(call.answer) from call.answer  # threads that share an error must not share its traceback
        return call.answer

    def _take(self) -> list[_Call]:
        """Return all calls that wait, for the calling thread to send; it holds the lock."""
        calls, self._waiting = self._waiting, []
        self._under_way += 1
        return calls

    def _send(self, calls: list[_Call]) -> None:
        """Send some calls and hand out the answers; let another thread send what came in between."""
        answers: list[Any] = [RedisConnectionError("the thread that sent the call was interrupted")] * len(calls)
        try:
            answers = self._execute(calls)
        finally:
            for call, answer in zip(calls, answers, strict=True):
                call.answer, call.answered = answer, True
                call.signals.put(None)
            with self._lock:
                self._under_way -= 1
                if self._waiting and not self._under_way:
                    self._waiting[0].signals.put(None)

    def _execute(self, calls: list[_Call]) -> list[Any]:
        """Return the answer or error of each call."""
        if len(calls) == 1:
            return [self._execute_alone(calls[0])]
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.command)
        try:
            return list(pipeline.execute(raise_on_error=False))
        except DataError:  # one of them cannot be sent, and none was
            return [self._execute_alone(call) for call in calls]
        except Exception as error:  # noqa: BLE001 - each of the threads raises it
            return [error] * len(calls)

    def _execute_alone(self, call: _Call) -> Any:
        try:
            return self._client.execute_command(*call.command)
        except Exception as error:  # noqa: BLE001 - its thread raises it
            return error
