"""What a step decides about a job: a value, which `lanes/apply.py` turns into writes."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.files import StoredFile
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Reschedule:
    """Run the step again later."""

    #: Seconds.
    after: float
    #: Why the job makes no progress, if it does not.
    reason: Reason | None = None
    error: str | None = None
    #: PhotoGPT created nothing for the open intent: clear it.
    clear_intent: bool = False
    #: The time of that intent, as stored. The intent of another worker is left alone.
    intent: str | None = None
    #: PhotoGPT accepted the trigger and named no generation: record that at once, so that no worker triggers again.
    accepted_without_id: bool = False
    #: No other job of the lane can succeed before then: pause the lane.
    pause_lane: bool = False
    #: PhotoGPT has no room: put the job back into the admission queue.
    requeue: bool = False
    #: PhotoGPT was asked for the state of the generation; counts as a poll.
    polled: bool = False
    #: PhotoGPT's word for the state of the generation, if the poll showed one.
    photogpt_status: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """PhotoGPT accepted the job: poll it from now on."""

    #: None for a training.
    generation_id: str | None


@dataclass(frozen=True, slots=True)
class Running:
    """PhotoGPT works on the job: publish the state `running`, and poll again."""

    #: Seconds until the next poll.
    after: float
    #: Time of this poll, epoch seconds.
    at: float
    #: PhotoGPT's word for the state.
    photogpt_status: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The job has ended."""

    result: JobResult
    polled: bool = False
    #: Seconds that the generation took, for the poll schedule of later jobs.
    duration_s: float | None = None
    #: It is certain whether PhotoGPT created something for the open intent.
    outcome_known: bool = False
    #: The time of that intent, as stored, if the step recorded it; None: the one of the job as it was claimed.
    intent: str | None = None


@dataclass(frozen=True, slots=True)
class FilesEnd:
    """The job waits for its files no longer: they are stored, or given up."""

    #: Those of the first job with the same idempotency key; empty: those that were stored for this job.
    files: tuple[StoredFile, ...] = ()
    #: Which outputs could not be stored, and why.
    error: str | None = None


Decision = Reschedule | Submitted | Running | Finish | FilesEnd
