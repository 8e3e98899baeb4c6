"""What a step returns. A value, so that it can stand in a table of tests; only the tick turns it into writes."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.outcome import JobResult
from worker.domain.reason import Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Reschedule:
    """Nothing to tell yet: come back after some seconds."""

    after: float
    #: What stands in the way, if anything.
    reason: Reason | None = None
    error: str | None = None
    #: The open intent is outcome_known: PhotoGPT created nothing.
    clear_intent: bool = False
    #: Which intent: its time as it is stored. Another one is another worker's, and stays.
    intent: str | None = None
    #: PhotoGPT said yes to that intent and named nothing: nobody may ask again, which is written down at once.
    accepted_without_id: bool = False
    #: Nothing else in this lane is worth trying before then, either.
    pause_lane: bool = False
    #: PhotoGPT has no room: back into the queue, to wait for some.
    requeue: bool = False
    #: PhotoGPT was asked how the generation is.
    polled: bool = False


@dataclass(frozen=True, slots=True)
class Submitted:
    """PhotoGPT took the job: look at it from now on."""

    #: None for a training.
    generation_id: str | None


@dataclass(frozen=True, slots=True)
class Running:
    """PhotoGPT works on it: tell the world, look again after some seconds."""

    after: float
    #: When that was seen, epoch seconds.
    at: float


@dataclass(frozen=True, slots=True)
class Finish:
    """The job is over."""

    ending: JobResult
    polled: bool = False
    #: How long the generation took, seconds, for the schedule of others.
    duration_s: float | None = None
    #: It is certain whether PhotoGPT created something, should it have been asked.
    outcome_known: bool = False


Decision = Reschedule | Submitted | Running | Finish
