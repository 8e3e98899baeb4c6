"""The client for threads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self, TypedDict, Unpack
from uuid import UUID

from photogpt_client import new_jobs
from photogpt_client.arguments import ImageArguments, TrainArguments, UpscaleArguments, VideoArguments
from photogpt_client.batches import Batch, prepare
from photogpt_client.errors import RedisUnavailable
from photogpt_client.follower import Follower
from photogpt_client.jobs import Job
from photogpt_client.keys import Keys
from photogpt_client.new_jobs import Entry, NewJob, cancellation, entry_of
from photogpt_client.validation import checked_id

if TYPE_CHECKING:
    from photogpt_client.transport import Transport

NAMED_AFTER_ENTRY = re.compile(r"inbox-(\d+-\d+)")
"""The id of a job whose producer gave it none."""


class ClientOptions(TypedDict, total=False):
    """The arguments of `Client` behind the URL."""

    namespace: str
    sentinel_master: str | None
    sentinel_password: str | None
    send_timeout_s: float
    transport: Transport | None


class Client:
    """Sends jobs through the inbox, and follows them. One client serves all threads of a process.

    A job is accepted once Redis has acknowledged its append: from then on it has an outcome, even if workers
    are killed.
    """

    def __init__(  # noqa: PLR0913 - one connection
        self,
        redis_url: str = "redis://127.0.0.1:6379/0",
        *,
        namespace: str = "photogpt",
        sentinel_master: str | None = None,
        sentinel_password: str | None = None,
        send_timeout_s: float = 10.0,
        transport: Transport | None = None,
    ) -> None:
        """Connect at the first call.

        Args:
            redis_url: PHOTOGPT_REDIS_URL of the workers: redis://, rediss://, unix:// or sentinel://.
            namespace: PHOTOGPT_NAMESPACE of the workers.
            sentinel_master: for sentinel://, the name of the primary.
            sentinel_password: of the Sentinels themselves.
            send_timeout_s: how long an append is repeated while Redis does not answer.
            transport: in place of Redis, in tests.

        Raises:
            ValueError: an argument cannot be used; says what to write instead.
        """
        self.keys = Keys(namespace)
        self.transport = transport or _redis(self.keys, redis_url, sentinel_master, sentinel_password, send_timeout_s)
        self.follower = Follower(self.transport)

    def image(self, **given: Unpack[ImageArguments]) -> Job:
        """Send an image. Raises as `submit` does."""
        return self.submit(new_jobs.image(**given))

    def upscale(self, **given: Unpack[UpscaleArguments]) -> Job:
        """Send an upscale. Raises as `submit` does."""
        return self.submit(new_jobs.upscale(**given))

    def video(self, **given: Unpack[VideoArguments]) -> Job:
        """Send a video. Raises as `submit` does."""
        return self.submit(new_jobs.video(**given))

    def train(self, **given: Unpack[TrainArguments]) -> Job:
        """Send a training. Raises as `submit` does."""
        return self.submit(new_jobs.train(**given))

    def submit(self, job: NewJob) -> Job:
        """Send a job.

        Raises:
            InvalidJob: an argument cannot be used; nothing was sent.
            RedisUnavailable: the append was not acknowledged; send the job again with the id in `job_ids`.
            RedisRefused: Redis refuses the login or the command.
        """
        (sent,) = self._send([entry_of(job)])
        return sent

    def submit_many(self, jobs: Iterable[NewJob], *, batch_id: str | UUID | None = None) -> Batch:
        """Send jobs as one batch. What cannot be used is left out and stands in `refused`.

        Args:
            jobs: of `photogpt_client.image`, `upscale`, `video` and `train`.
            batch_id: with one of your own, the same call can be repeated after a crash without a job too many.

        Raises:
            RedisUnavailable: some appends were not acknowledged; repeat the call with the error's `batch_id`.
            RedisRefused: Redis refuses the login or the command.
        """
        prepared = prepare(jobs, batch_id)
        sent = self._send(prepared.entries, batch_id=prepared.id)
        return Batch(self, prepared.id, sent, prepared.refused, is_empty=not sent)

    def job(self, job_id: str | UUID) -> Job:
        """Return a job that was sent before, by any producer."""
        name = checked_id("id", job_id)
        entry = NAMED_AFTER_ENTRY.fullmatch(name)
        return Job(self, name, entry_id=entry and entry[1])

    def batch(self, batch_id: str | UUID) -> Batch:
        """Return a batch that was sent before. It knows its counts, not its jobs."""
        return Batch(self, checked_id("batch_id", batch_id))

    def cancel(self, job_id: str | UUID) -> None:
        """Ask that a job is canceled. One that has ended stays as it is."""
        self._send([cancellation(checked_id("id", job_id))])

    def close(self) -> None:
        """Close the connections."""
        self.follower.close()
        self.transport.close()

    def _send(self, entries: list[Entry], *, batch_id: str | None = None) -> list[Job]:
        try:
            appended = self.transport.append([entry.text for entry in entries])
        except RedisUnavailable as error:
            ids = tuple(entry.job_id for entry in entries)
            again = f"repeat the call with batch_id={batch_id!r}" if batch_id else "send the job again with the same id"
            raise RedisUnavailable(f"{error}; {again}", ids, batch_id) from error
        return [
            Job(self, entry.job_id, kind=entry.kind, entry_id=entry_id)
            for entry, entry_id in zip(entries, appended, strict=True)
        ]

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()


def _redis(keys: Keys, url: str, master: str | None, password: str | None, send_timeout_s: float) -> Transport:
    from photogpt_client.connection import connect  # noqa: PLC0415 - the fake needs no Redis
    from photogpt_client.redis_transport import RedisTransport  # noqa: PLC0415 - the fake needs no Redis

    client = connect(url, sentinel_master=master, sentinel_password=password)
    return RedisTransport(client, keys, send_timeout_s=send_timeout_s)
