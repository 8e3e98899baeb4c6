"""What a receiver remembers of webhooks: in its own process, or in a Redis that several processes share.

An id is *claimed* while its event is handled and *handled* afterwards. A claim ends after a while, so that the event of
a process that was killed is received again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import redis
    import redis.asyncio

Claim = Literal["new", "claimed", "handled"]

MAX_REMEMBERED = 100_000
TTL_S = 2 * 86_400  # a webhook is retried for about a day
CLAIM_S = 60.0  # a worker waits 15 s for an answer
HANDLED = "handled"


class Memory(Protocol):
    """Remembers which webhooks were received. Several processes need one that they share."""

    def claim(self, webhook_id: str) -> Claim:
        """Claim an id for this call if it is new. Of two calls at once only one gets `new`."""
        ...

    def confirm(self, webhook_id: str) -> None:
        """Remember that the event of a claimed id was handled."""
        ...

    def release(self, webhook_id: str) -> None:
        """Forget an id, so that the next attempt is received again."""
        ...

    def advance(self, job_id: str, sequence: int) -> int:
        """Remember the sequence of an event, and return the highest of its job."""
        ...


class AsyncMemory(Protocol):
    """A `Memory` for asyncio."""

    async def claim(self, webhook_id: str) -> Claim:
        """Claim an id for this call if it is new. Of two calls at once only one gets `new`."""
        ...

    async def confirm(self, webhook_id: str) -> None:
        """Remember that the event of a claimed id was handled."""
        ...

    async def release(self, webhook_id: str) -> None:
        """Forget an id, so that the next attempt is received again."""
        ...

    async def advance(self, job_id: str, sequence: int) -> int:
        """Remember the sequence of an event, and return the highest of its job."""
        ...


class LocalMemory:
    """Remembers the last 100,000 ids and jobs in this process."""

    def __init__(self, *, claim_s: float = CLAIM_S) -> None:
        """Remember nothing yet; a claim ends after `claim_s` seconds."""
        self._claim_s = claim_s
        self._lock = threading.Lock()
        #: When the claim of each id ends, by the monotonic clock; infinity once it was handled.
        self._ids: OrderedDict[str, float] = OrderedDict()
        self._sequences: OrderedDict[str, int] = OrderedDict()

    def claim(self, webhook_id: str) -> Claim:
        """Claim an id if it is new."""
        with self._lock:
            ends = self._ids.get(webhook_id, 0.0)
            if ends == float("inf"):
                return "handled"
            if ends > time.monotonic():
                return "claimed"
            _remember(self._ids, webhook_id, time.monotonic() + self._claim_s)
            return "new"

    def confirm(self, webhook_id: str) -> None:
        """Remember that an event was handled."""
        with self._lock:
            _remember(self._ids, webhook_id, float("inf"))

    def release(self, webhook_id: str) -> None:
        """Forget an id."""
        with self._lock:
            self._ids.pop(webhook_id, None)

    def advance(self, job_id: str, sequence: int) -> int:
        """Remember a sequence, and return the highest of its job."""
        with self._lock:
            _remember(self._sequences, job_id, max(self._sequences.get(job_id, 0), sequence))
            return self._sequences[job_id]


class AsyncLocalMemory:
    """A `LocalMemory` for asyncio."""

    def __init__(self, *, claim_s: float = CLAIM_S) -> None:
        """Remember nothing yet; a claim ends after `claim_s` seconds."""
        self._memory = LocalMemory(claim_s=claim_s)

    async def claim(self, webhook_id: str) -> Claim:
        """Claim an id if it is new."""
        return self._memory.claim(webhook_id)

    async def confirm(self, webhook_id: str) -> None:
        """Remember that an event was handled."""
        self._memory.confirm(webhook_id)

    async def release(self, webhook_id: str) -> None:
        """Forget an id."""
        self._memory.release(webhook_id)

    async def advance(self, job_id: str, sequence: int) -> int:
        """Remember a sequence, and return the highest of its job."""
        return self._memory.advance(job_id, sequence)


class _RedisCommands:
    """The commands of a memory in Redis. Each is one transaction, so that Redis 6.2 and every login will do."""

    def __init__(self, prefix: str, ttl_s: float, claim_s: float) -> None:
        self._prefix = prefix
        self._ttl_ms, self._claim_ms = int(ttl_s * 1000), int(claim_s * 1000)

    def _claim(self, pipeline: Any, webhook_id: str) -> Any:
        key = self._key("webhook", webhook_id)
        return pipeline.set(key, "claimed", nx=True, px=self._claim_ms).get(key)

    def _advance(self, pipeline: Any, job_id: str, sequence: int) -> Any:
        key = self._key("job", job_id)  # a sorted set with one member: Redis compares, and no script is needed
        return pipeline.zadd(key, {"sequence": sequence}, gt=True).pexpire(key, self._ttl_ms).zscore(key, "sequence")

    def _key(self, noun: str, name: str) -> str:
        return f"{self._prefix}:{noun}:{{{name}}}"


class RedisMemory(_RedisCommands):
    """Remembers ids and sequences in a Redis, for all processes that use the same prefix."""

    def __init__(
        self,
        redis: str | redis.Redis,
        *,
        prefix: str = "photogpt-receiver",
        ttl_s: float = TTL_S,
        claim_s: float = CLAIM_S,
    ) -> None:
        """Connect at the first webhook.

        Args:
            redis: a URL, or a client of redis-py.
            prefix: of the keys; services that each receive the same webhooks need one each.
            ttl_s: how long an id is remembered, seconds.
            claim_s: after which the event of a killed process is received again, seconds.
        """
        super().__init__(prefix, ttl_s, claim_s)
        self._client: Any = _connected(redis) if isinstance(redis, str) else redis

    def claim(self, webhook_id: str) -> Claim:
        """Claim an id if it is new."""
        with _translated():
            return _claim_of(self._claim(self._client.pipeline(), webhook_id).execute())

    def confirm(self, webhook_id: str) -> None:
        """Remember that an event was handled."""
        with _translated():
            self._client.set(self._key("webhook", webhook_id), HANDLED, px=self._ttl_ms)

    def release(self, webhook_id: str) -> None:
        """Forget an id."""
        with _translated():
            self._client.delete(self._key("webhook", webhook_id))

    def advance(self, job_id: str, sequence: int) -> int:
        """Remember a sequence, and return the highest of its job."""
        with _translated():
            return int(self._advance(self._client.pipeline(), job_id, sequence).execute()[-1])

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class AsyncRedisMemory(_RedisCommands):
    """A `RedisMemory` for asyncio, for one event loop."""

    def __init__(
        self,
        redis: str | redis.asyncio.Redis,
        *,
        prefix: str = "photogpt-receiver",
        ttl_s: float = TTL_S,
        claim_s: float = CLAIM_S,
    ) -> None:
        """Connect at the first webhook. The arguments are those of `RedisMemory`."""
        super().__init__(prefix, ttl_s, claim_s)
        self._client: Any = _connected(redis, is_async=True) if isinstance(redis, str) else redis

    async def claim(self, webhook_id: str) -> Claim:
        """Claim an id if it is new."""
        with _translated():
            return _claim_of(await self._claim(self._client.pipeline(), webhook_id).execute())

    async def confirm(self, webhook_id: str) -> None:
        """Remember that an event was handled."""
        with _translated():
            await self._client.set(self._key("webhook", webhook_id), HANDLED, px=self._ttl_ms)

    async def release(self, webhook_id: str) -> None:
        """Forget an id."""
        with _translated():
            await self._client.delete(self._key("webhook", webhook_id))

    async def advance(self, job_id: str, sequence: int) -> int:
        """Remember a sequence, and return the highest of its job."""
        with _translated():
            return int((await self._advance(self._client.pipeline(), job_id, sequence).execute())[-1])

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _connected(url: str, *, is_async: bool = False) -> Any:
    from photogpt_client.connection import connect  # noqa: PLC0415 - a memory in the process needs no Redis

    return connect(url, is_async=is_async, retries=1)


def _translated() -> Any:
    from photogpt_client.connection import translated  # noqa: PLC0415 - a memory in the process needs no Redis

    return translated()


def _claim_of(answer: list[Any]) -> Claim:
    is_new, value = answer
    return "new" if is_new else "handled" if value in (HANDLED, HANDLED.encode()) else "claimed"


def _remember(remembered: OrderedDict[str, Any], name: str, value: object) -> None:
    remembered[name] = value
    remembered.move_to_end(name)
    if len(remembered) > MAX_REMEMBERED:
        remembered.popitem(last=False)
