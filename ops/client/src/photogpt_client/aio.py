"""The client for asyncio. Sending runs in two threads; waiting takes no thread of its own and no connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Self, TypeVar, Unpack, cast
from uuid import UUID

from photogpt_client import new_jobs
from photogpt_client.arguments import ImageArguments, TrainArguments, UpscaleArguments, VideoArguments
from photogpt_client.batches import Batch, Refusal
from photogpt_client.client import Client, ClientOptions
from photogpt_client.errors import PhotoGPTError, WaitTimeout
from photogpt_client.follower import Subscription
from photogpt_client.jobs import Item, Job
from photogpt_client.new_jobs import NewJob
from photogpt_client.outcomes import BatchOutcome, Event, Outcome, checked
from photogpt_client.transport import START

T = TypeVar("T")
SENDERS = 2  # threads; with the follower's, a client holds three connections at most


class AsyncJob:
    """A job in the inbox or in Redis' records, by its id. `await job` waits for its outcome."""

    def __init__(self, client: AsyncClient, job: Job) -> None:
        """Refer to a job."""
        self.id = job.id
        self._client = client
        self._job = job

    def __await__(self) -> Generator[Any, None, Outcome]:
        """Wait until the job has ended; raises as `wait` does."""
        return self.wait().__await__()

    async def wait(self, timeout: float | None = None) -> Outcome:  # noqa: ASYNC109 - as asyncio.wait has it
        """Wait until the job has ended, and return its outcome, whatever its state.

        Raises:
            WaitTimeout: `timeout` seconds have passed; the job goes on.
            JobGone: no job has this id, or its record has expired.
            RedisRefused: Redis refuses the login or the command. An outage of Redis is waited for.
        """
        final = self._job.final
        if final is None:
            async for event in self.events(timeout=timeout):
                final = event.outcome
        return cast("Outcome", final)

    async def result(self, timeout: float | None = None) -> Outcome:  # noqa: ASYNC109 - as asyncio.wait has it
        """Wait as `wait` does, and return the outcome of a job that succeeded.

        Raises:
            JobNotSucceeded: the job ended in another state; JobFailed, JobExpired or JobCanceled.
        """
        return checked(await self.wait(timeout))

    async def outcome(self) -> Outcome:
        """Return how far the job is, or how it ended. Raises as `Job.outcome` does."""
        return await self._client.call(self._job.outcome)

    async def events(
        self,
        *,
        after: str = START,
        timeout: float | None = None,  # noqa: ASYNC109 - as asyncio.wait has it
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of the job, from the first one on, until the one that ends it. Raises as `wait` does."""
        items: asyncio.Queue[Item] = asyncio.Queue()
        ends = end_of(timeout)
        stop = self.follow(items.put_nowait, after)
        try:
            while True:
                item = await next_of(items, ends, f"job {self.id}", timeout)
                if isinstance(item, PhotoGPTError):
                    raise item
                yield item
                if item.outcome is not None:
                    return
        finally:
            stop()

    async def cancel(self) -> None:
        """Ask that the job is canceled. PhotoGPT has no cancel: what was triggered goes on there and is charged."""
        await self._client.call(self._job.cancel)

    def follow(self, put: Callable[[Item], None], after: str = START) -> Callable[[], None]:
        """Hand the events of the job to `put` in this event loop, and return how to stop that."""
        return self._job.follow(_in_loop(put), after)

    def __repr__(self) -> str:
        """Name the job."""
        return f"{type(self).__name__}({self.id!r})"


class AsyncBatch:
    """Jobs that were sent together. `await batch` waits for the end of all."""

    def __init__(self, client: AsyncClient, batch: Batch) -> None:
        """Refer to a batch."""
        self.id = batch.id
        self.jobs: list[AsyncJob] = [AsyncJob(client, job) for job in batch.jobs]
        self.refused: list[Refusal] = batch.refused
        self._client = client
        self._batch = batch

    def __await__(self) -> Generator[Any, None, BatchOutcome]:
        """Wait until every job has ended; raises as `wait` does."""
        return self.wait().__await__()

    async def wait(self, timeout: float | None = None) -> BatchOutcome:  # noqa: ASYNC109 - as asyncio.wait has it
        """Wait until every job has ended, and return how many ended in each way.

        Raises:
            WaitTimeout: `timeout` seconds have passed.
            JobGone: no batch has this id, or its record has expired.
        """
        if self._batch.is_empty:
            return self._batch.wait()
        answers: asyncio.Queue[Any] = asyncio.Queue()
        follower = self._client.threads.follower
        subscription = follower.subscribe(Subscription(self._batch.topic(), _in_loop(answers.put_nowait)))
        try:
            answer = await next_of(answers, end_of(timeout), f"batch {self.id}", timeout)
        finally:
            follower.unsubscribe(subscription)
        return await self._client.call(lambda: self._batch.read(answer))


class AsyncClient:
    """Sends jobs through the inbox, and follows them, in one event loop."""

    def __init__(self, redis_url: str = "redis://127.0.0.1:6379/0", **options: Unpack[ClientOptions]) -> None:
        """Connect at the first call. The arguments are those of `Client`."""
        self.threads = Client(redis_url, **options)
        self._start_senders()

    def _start_senders(self) -> None:
        """Prepare threads for sending. A process that was forked needs its own: those of its parent are not there."""
        self._pid = os.getpid()
        self._senders = ThreadPoolExecutor(SENDERS, "photogpt-send")

    async def image(self, **given: Unpack[ImageArguments]) -> AsyncJob:
        """Send an image. Raises as `Client.submit` does."""
        return await self.submit(new_jobs.image(**given))

    async def upscale(self, **given: Unpack[UpscaleArguments]) -> AsyncJob:
        """Send an upscale. Raises as `Client.submit` does."""
        return await self.submit(new_jobs.upscale(**given))

    async def video(self, **given: Unpack[VideoArguments]) -> AsyncJob:
        """Send a video. Raises as `Client.submit` does."""
        return await self.submit(new_jobs.video(**given))

    async def train(self, **given: Unpack[TrainArguments]) -> AsyncJob:
        """Send a training. Raises as `Client.submit` does."""
        return await self.submit(new_jobs.train(**given))

    async def submit(self, job: NewJob) -> AsyncJob:
        """Send a job. Raises as `Client.submit` does."""
        return AsyncJob(self, await self.call(lambda: self.threads.submit(job)))

    async def submit_many(self, jobs: Iterable[NewJob], *, batch_id: str | UUID | None = None) -> AsyncBatch:
        """Send jobs as one batch. Raises as `Client.submit_many` does."""
        given = list(jobs)
        return AsyncBatch(self, await self.call(lambda: self.threads.submit_many(given, batch_id=batch_id)))

    def job(self, job_id: str | UUID) -> AsyncJob:
        """Return a job that was sent before, by any producer."""
        return AsyncJob(self, self.threads.job(job_id))

    def batch(self, batch_id: str | UUID) -> AsyncBatch:
        """Return a batch that was sent before. It knows its counts, not its jobs."""
        return AsyncBatch(self, self.threads.batch(batch_id))

    async def cancel(self, job_id: str | UUID) -> None:
        """Ask that a job is canceled. One that has ended stays as it is."""
        await self.call(lambda: self.threads.cancel(job_id))

    async def close(self) -> None:
        """Close the connections."""
        await self.call(self.threads.close)
        self._senders.shutdown(wait=False)

    async def call(self, function: Callable[[], T]) -> T:
        """Run what asks Redis in a thread."""
        if self._pid != os.getpid():
            self._start_senders()
        return await asyncio.get_running_loop().run_in_executor(self._senders, function)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.close()


async def next_of(items: asyncio.Queue[T], ends: float | None, name: str, timeout: float | None) -> T:  # noqa: ASYNC109
    """Return the next item of a queue. Only this wait is limited: what a caller does between two items is its own.

    Raises:
        WaitTimeout: there is none before `ends`, by the loop's clock.
    """
    try:
        async with asyncio.timeout_at(ends):
            return await items.get()
    except TimeoutError:
        raise WaitTimeout(f"{name} did not end within {timeout:g} s") from None


def end_of(timeout: float | None) -> float | None:
    """Return when a timeout ends, by the loop's clock."""
    return None if timeout is None else asyncio.get_running_loop().time() + timeout


def _in_loop(put: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a function that hands something to `put` in the running event loop, from any thread."""
    loop = asyncio.get_running_loop()

    def hand_over(item: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed, so there is no waiter
            loop.call_soon_threadsafe(put, item)

    return hand_over
