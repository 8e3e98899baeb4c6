"""Receives webhooks: verifies their signatures, remembers their ids, and says which are out of order.

receiver = Receiver(["whsec_…"], memory=RedisMemory("redis://…"))

def hook(body: bytes, headers: Mapping[str, str]) -> int:
    try:
        with receiver.handling(body, headers) as event:
            if event is not None:          # None: it was handled before
                ...
    except WebhookRefused:
        return 401
    except WebhookBusy:
        return 503
    return 204
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from photogpt_client.errors import WebhookBusy, WebhookRefused
from photogpt_client.outcomes import Outcome
from photogpt_client.signatures import Headers, check_of, verified_id
from photogpt_client.webhook_memory import (
    AsyncLocalMemory,
    AsyncMemory,
    AsyncRedisMemory,
    Claim,
    LocalMemory,
    Memory,
    RedisMemory,
)

__all__ = [
    "AsyncLocalMemory",
    "AsyncMemory",
    "AsyncReceiver",
    "AsyncRedisMemory",
    "Claim",
    "LocalMemory",
    "Memory",
    "Receiver",
    "RedisMemory",
    "WebhookBusy",
    "WebhookEvent",
    "WebhookRefused",
]


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A webhook that was verified."""

    #: `webhook-id`: the same for every attempt.
    id: str
    #: `job.succeeded` and others.
    type: str
    #: RFC 3339 text in UTC.
    timestamp: str
    #: Of the events of one job: a higher one came later.
    sequence: int
    outcome: Outcome
    #: The whole body.
    body: Mapping[str, Any]
    #: True if a later event of the same job was received before.
    is_late: bool = False


class _Verifier:
    """Verifies webhooks."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._checks = [check_of(key) for key in ([keys] if isinstance(keys, str) else keys)]

    def verify(self, body: bytes, headers: Headers) -> WebhookEvent:
        """Return the event of a webhook, also where it was received before.

        Raises:
            WebhookRefused: the signature is not valid.
        """
        return _event(verified_id(self._checks, body, headers), body)


class Receiver(_Verifier):
    """Verifies webhooks, and returns each event once."""

    def __init__(self, keys: Iterable[str], *, memory: Memory | None = None) -> None:
        """Prepare the keys.

        Args:
            keys: `whsec_…` (v1) and `whpk_…` (v1a); during a rotation the old and the new one.
            memory: default: a `LocalMemory`; several processes need a `RedisMemory` or one of their own.

        Raises:
            ValueError: a key cannot be used.
            ImportError: a `whpk_…` needs cryptography.
        """
        super().__init__(keys)
        self._memory = memory or LocalMemory()

    def receive(self, body: bytes, headers: Headers) -> WebhookEvent | None:
        """Return the event of a webhook, or None if it was received before. Both are to be answered with 2xx.

        The event counts as received at once: store it before you answer, or use `handling`.

        Args:
            body: the exact bytes of the request.
            headers: of the request.

        Raises:
            WebhookRefused: the signature is not valid.
            WebhookBusy: `handling` has not ended for this event.
            RedisUnavailable: the memory does not answer; answer 503.
        """
        event = self._claimed(body, headers)
        if event is not None:
            self._memory.confirm(event.id)
        return event

    @contextmanager
    def handling(self, body: bytes, headers: Headers) -> Iterator[WebhookEvent | None]:
        """Give the event of a webhook to a `with` block, or None if it was handled before.

        It counts as handled once the block has ended. After an exception, or if the process is killed, the next attempt
        is received again.

        Raises:
            WebhookRefused, WebhookBusy, RedisUnavailable: as `receive` does.
        """
        event = self._claimed(body, headers)
        if event is None:
            yield None
            return
        try:
            yield event
        except BaseException:
            self._memory.release(event.id)
            raise
        self._memory.confirm(event.id)

    def forget(self, event: WebhookEvent) -> None:
        """Receive an event again: it could not be handled, and the answer is an error."""
        self._memory.release(event.id)

    def _claimed(self, body: bytes, headers: Headers) -> WebhookEvent | None:
        event = self.verify(body, headers)
        if not _is_new(self._memory.claim(event.id), event):
            return None
        return replace(event, is_late=self._memory.advance(event.outcome["id"], event.sequence) > event.sequence)


class AsyncReceiver(_Verifier):
    """A `Receiver` for asyncio."""

    def __init__(self, keys: Iterable[str], *, memory: AsyncMemory | None = None) -> None:
        """Prepare the keys, as `Receiver` does; several processes need an `AsyncRedisMemory`."""
        super().__init__(keys)
        self._memory = memory or AsyncLocalMemory()

    async def receive(self, body: bytes, headers: Headers) -> WebhookEvent | None:
        """Return the event of a webhook, or None if it was received before. Raises as `Receiver.receive` does."""
        event = await self._claimed(body, headers)
        if event is not None:
            await self._memory.confirm(event.id)
        return event

    @asynccontextmanager
    async def handling(self, body: bytes, headers: Headers) -> AsyncIterator[WebhookEvent | None]:
        """Give the event of a webhook to an `async with` block, as `Receiver.handling` does."""
        event = await self._claimed(body, headers)
        if event is None:
            yield None
            return
        try:
            yield event
        except BaseException:
            await self._memory.release(event.id)
            raise
        await self._memory.confirm(event.id)

    async def forget(self, event: WebhookEvent) -> None:
        """Receive an event again: it could not be handled, and the answer is an error."""
        await self._memory.release(event.id)

    async def _claimed(self, body: bytes, headers: Headers) -> WebhookEvent | None:
        event = self.verify(body, headers)
        if not _is_new(await self._memory.claim(event.id), event):
            return None
        return replace(event, is_late=await self._memory.advance(event.outcome["id"], event.sequence) > event.sequence)


def _is_new(claim: Claim, event: WebhookEvent) -> bool:
    if claim == "claimed":
        raise WebhookBusy(f"webhook {event.id} is being handled; answer 503, and it is sent again")
    return claim == "new"


def _event(webhook_id: str, body: bytes) -> WebhookEvent:
    try:
        found = json.loads(body)
        outcome = found["data"]
        texts = (str(found["type"]), str(found["timestamp"]))
        sequence = int(found.get("sequence", 0))
        job_id = outcome["id"]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise WebhookRefused("the body is no event") from None
    if not isinstance(job_id, str):
        raise WebhookRefused("the body is no event of a job")
    return WebhookEvent(webhook_id, *texts, sequence, cast("Outcome", outcome), found)
