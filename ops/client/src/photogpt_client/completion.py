"""Jobs in the order in which they end, for threads and for asyncio."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, overload

from photogpt_client.errors import PhotoGPTError
from photogpt_client.jobs import Item, Job, next_of

if TYPE_CHECKING:
    from photogpt_client.aio import AsyncJob


@overload
def as_completed(jobs: Iterable[Job], timeout: float | None = None) -> Iterable[Job]: ...


@overload
def as_completed(jobs: Iterable[AsyncJob], timeout: float | None = None) -> AsyncIterable[AsyncJob]: ...


def as_completed(jobs: Iterable[Any], timeout: float | None = None) -> Any:
    """Return jobs in the order in which they end, for `for` or `async for`.

    A wait for a job that was returned returns at once, or raises what it raised.

    Raises:
        WaitTimeout: `timeout` seconds have passed, and some jobs have not ended.
    """
    return Completed(list(dict.fromkeys(jobs)), timeout)


class Completed:
    """Jobs in the order in which they end."""

    def __init__(self, jobs: list[Any], timeout: float | None) -> None:
        """Prepare; jobs are followed from the first step of the loop on."""
        self._jobs = jobs
        self._timeout = timeout

    def __iter__(self) -> Iterator[Job]:
        """Follow jobs of `Client`."""
        done: queue.SimpleQueue[tuple[Job, Item]] = queue.SimpleQueue()
        left = set(self._jobs)
        ends = None if self._timeout is None else time.monotonic() + self._timeout
        stops = [job.follow(lambda item, job=job: done.put((job, item))) for job in left]
        try:
            while left:
                job, item = next_of(done, ends, f"{len(left)} jobs", self._timeout)
                if is_end(item):
                    left.discard(job)
                    yield job
        finally:
            for stop in stops:
                stop()

    async def __aiter__(self) -> AsyncIterator[AsyncJob]:
        """Follow jobs of `AsyncClient`."""
        from photogpt_client import aio  # noqa: PLC0415 - threads do not need it

        done: asyncio.Queue[tuple[AsyncJob, Item]] = asyncio.Queue()
        left = set(self._jobs)
        ends = aio.end_of(self._timeout)
        stops = [job.follow(lambda item, job=job: done.put_nowait((job, item))) for job in left]
        try:
            while left:
                job, item = await aio.next_of(done, ends, f"{len(left)} jobs", self._timeout)
                if is_end(item):
                    left.discard(job)
                    yield job
        finally:
            for stop in stops:
                stop()


def is_end(item: Item) -> bool:
    """Return whether nothing follows for a job."""
    return isinstance(item, PhotoGPTError) or item.outcome is not None
