"""Jobs whose images and videos are to be stored: before they end, or after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.domain.delivery import plan_for_files
from worker.domain.files import FILES_SEQUENCE, NOT_STORED, STORED, FileProgress
from worker.domain.lane import Lane
from worker.domain.outcome import outcome
from worker.domain.times import epoch, rfc3339
from worker.store.codec import decode_outcome, dumps, encode_outcome, pairs
from worker.store.lanes import TickPublisher
from worker.store.state_change import duration_arguments, file_arguments, trigger_arguments, webhook_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import redis

    from worker.domain.delivery import BodyOptions
    from worker.domain.files import StoredFile
    from worker.domain.job import Job
    from worker.domain.outcome import JobResult, Outcome
    from worker.store.lanes import Tick
    from worker.store.records import Retention
    from worker.store.scripts import Scripts

REQUESTED = "requested:"
"""In front of the number of a video whose download was requested."""

NO_STORAGE = "no_storage"
"""Why the storage took no file in the last attempt."""

FAILURE = ("attempts", "error", NO_STORAGE)


@dataclass(frozen=True, slots=True)
class JobFiles:
    """What Redis holds about the outputs of a job."""

    outcome: Outcome
    progress: FileProgress


class Files:
    """Reads and writes the progress of files. Each write is one script, and safe to repeat."""

    def __init__(  # noqa: PLR0913 - all that the scripts need
        self,
        client: redis.Redis,
        scripts: Scripts,
        publish_tick: Callable[[Tick], None],
        *,
        retention: Retention,
        deadline_s: float,
        clock: Callable[[], float],
        bodies: BodyOptions,
    ) -> None:
        """Use one client.

        Args:
            client: of Redis.
            scripts: loaded with that client.
            publish_tick: publishes the ticks that scripts ask for.
            retention: of the records of jobs.
            deadline_s: seconds for which a job may wait for its files.
            clock: returns Redis' time in epoch seconds.
            bodies: how webhooks are written.
        """
        self._client: Any = client
        self._keys = scripts.keys
        self._scripts = scripts
        self._ticks = TickPublisher(publish_tick)
        self._retention = retention
        self._ttl = retention.record_s + int(deadline_s)
        self._clock = clock
        self._bodies = bodies

    def read(self, job_id: str) -> JobFiles | None:
        """Return what is known of a job's outputs, or None if it has no record."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hgetall(self._keys.job(job_id))
        pipeline.hgetall(self._keys.files(job_id))
        record, progress = pipeline.execute()
        return JobFiles(decode_outcome(record), _decode(progress, self._clock())) if record else None

    def begin_storing(
        self, job: Job, result: JobResult, *, polled: bool, duration_s: float | None, fields: Mapping[str, str]
    ) -> bool:
        """Let a job whose generation succeeded wait for its files before it ends; False if it has ended or moved on.

        Args:
            job: as it was claimed.
            result: how it will end.
            polled: PhotoGPT was asked once more; counts as a poll.
            duration_s: how long the generation took, for the polling schedule of others.
            fields: of the record that change.
        """
        answer = self._scripts.begin_storing(
            job=self._keys.job(job.id),
            events=self._keys.events(job.id),
            jobs=self._keys.lane(Lane.JOBS),
            jobs_by_generation=self._keys.jobs_by_generation,
            recently_ended=self._keys.recently_ended,
            **trigger_arguments(self._keys),
            **file_arguments(self._keys, job.id),
            **duration_arguments(self._keys, job, duration_s),
            id=job.id,
            seen_state=job.state,
            ttl=self._ttl,
            polled=polled,
            generation=job.generation_id,
            fields=pairs(encode_outcome(outcome(job, result)) | {"state": job.state.value, **fields}),
        )
        if answer[0] == 0:
            return False
        self._ticks.publish(Lane.FILES, answer[1])
        self._ticks.publish(Lane.TRIGGERS, answer[2])
        return True

    def record_stored(self, job_id: str, number: int, stored: StoredFile) -> None:
        """Record that one file is stored."""
        self._update(job_id, fields={str(number): dumps(stored)}, cleared=[f"{REQUESTED}{number}", *FAILURE])

    def record_requested(self, job_id: str, number: int) -> None:
        """Record that PhotoGPT is about to be asked to prepare the download of a video."""
        self._update(job_id, fields={f"{REQUESTED}{number}": f"{self._clock():.3f}"})

    def clear_requested(self, job_id: str, number: int) -> None:
        """Record that the next attempt has to request the download of a video again."""
        self._update(job_id, cleared=[f"{REQUESTED}{number}"])

    def record_failure(self, job_id: str, error: str) -> int:
        """Record that an attempt failed; return how many failed in a row, or 0 if the job has no record."""
        return self._update(job_id, fields={"error": error}, cleared=[NO_STORAGE], failed=True)

    def record_no_storage(self, job_id: str, error: str) -> None:
        """Record that the storage takes no file. The attempt does not count: it says nothing about the job's files."""
        self._update(job_id, fields={"error": error, NO_STORAGE: error})

    def storage_errors(self, sample: int = 50) -> list[str]:
        """Return why jobs wait for the storage, among the `sample` first and last ones that wait for their files."""
        pipeline, lane = self._client.pipeline(transaction=False), self._keys.lane(Lane.FILES)
        pipeline.zrange(lane, 0, sample - 1)
        pipeline.zrange(lane, -sample, -1)
        for job_id in {job_id for ids in pipeline.execute() for job_id in ids}:
            pipeline.hget(self._keys.files(job_id), NO_STORAGE)
        return [error for error in pipeline.execute() if error]

    def mark_stored(self, job: Job, final: Outcome) -> bool:
        """Write the files of a job that has ended, and publish the event; False if another worker was first."""
        name = NOT_STORED if final["files_error"] else STORED
        timestamp = rfc3339(self._clock())
        planned = plan_for_files(job, name, final, at=epoch(timestamp), body=self._bodies)
        files = encode_outcome(final)
        arguments = file_arguments(self._keys, job.id)
        answer = self._scripts.mark_stored(
            job=self._keys.job(job.id),
            events=self._keys.events(job.id),
            all_events=self._keys.all_events,
            event_draft=self._keys.event_draft,
            files=arguments["files"],
            progress=arguments["progress"],
            **webhook_targets(self._keys, job, planned),
            id=job.id,
            retention=self._retention.record_s,
            stream_length=self._retention.events_max_length,
            deliveries_ttl=self._retention.deliveries_s,
            event_type=name,
            sequence=FILES_SEQUENCE,
            timestamp=timestamp,
            data=dumps(final),
            fields=pairs({field: files[field] for field in ("state", "files", "files_error") if field in files}),
        )
        if answer[0] == 0:
            return False
        self._ticks.publish(Lane.DELIVERIES, answer[1])
        return True

    def store_again(self, job_id: str) -> str:
        """Let a job wait for those of its files that are not stored.

        Returns:
            `scheduled`, or why nothing was done: `unknown`, `not_succeeded`, `no_outputs`, `waiting`, `stored`.
        """
        answer = self._scripts.store_again(
            job=self._keys.job(job_id), id=job_id, ttl=self._ttl, **file_arguments(self._keys, job_id)
        )
        if answer[0] == "scheduled":
            self._ticks.publish(Lane.FILES, answer[1])
        return str(answer[0])

    def _update(
        self, job_id: str, *, fields: Mapping[str, str] | None = None, cleared: Iterable[str] = (), failed: bool = False
    ) -> int:
        attempts = self._scripts.update_files(
            job=self._keys.job(job_id),
            progress=self._keys.files(job_id),
            ttl=self._ttl,
            failed=failed,
            fields=pairs(fields or {}),
            cleared=list(cleared),
        )
        return int(attempts)


def _decode(progress: dict[str, str], at: float) -> FileProgress:
    requested = {name.removeprefix(REQUESTED): value for name, value in progress.items() if name.startswith(REQUESTED)}
    return FileProgress(
        since=float(progress.get("since", at)),
        attempts=int(progress.get("attempts", 0)),
        error=progress.get("error"),
        stored={int(name): json.loads(value) for name, value in progress.items() if name.isdigit()},
        requested={int(number): float(value) for number, value in requested.items()},
    )
