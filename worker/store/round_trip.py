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
            sends = not self._under_way
            self._under_way += sends
        timeout_s: float | None = MAX_WAIT_S
        while not (sends or call.answered):
            with suppress(Empty):
                call.signals.get(timeout=timeout_s)
            with self._lock:
                sends = call in self._waiting
                self._under_way += sends
            timeout_s = None  # another thread has sent it
        if sends:
            self._send_waiting()
        if isinstance(call.answer, BaseException):
            raise copy(call.answer)  # threads that share an error must not share its traceback
        return call.answer

    def _send_waiting(self) -> None:
        """Send all calls that wait and hand out the answers; let another thread send what came in between."""
        with self._lock:
            calls, self._waiting = self._waiting, []
        try:
            answers = self._execute(calls)
        except BaseException as error:  # noqa: BLE001 - each of the threads raises it
            answers = [error] * len(calls)
        for call, answer in zip(calls, answers, strict=True):
            call.answer, call.answered = answer, True
            call.signals.put(None)
        with self._lock:
            self._under_way -= 1
            if self._waiting and not self._under_way:
                self._waiting[0].signals.put(None)

    def _execute(self, calls: list[_Call]) -> list[Any]:
        if len(calls) == 1:
            return [self._client.execute_command(*calls[0].command)]
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call.command)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers
