"""Finds the candidates for an unresolved trigger: listed generations that it may have created.

One rule decides for a job and for every job that competes with it: a trigger may have created a generation of its model
that was created between its intent and twice the settling time later, give or take the clock skew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worker.domain.errors import Refused
from worker.domain.job import Job
from worker.services import Services
from worker.steps.search import Search

MIN_SETTLES = 2  # settling times before a list without a candidate counts, and after which no generation is expected
CLOCK_ERROR_S = 1.0  # of a process' idea of Redis' clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A listed generation that belongs to no known job."""

    id: str
    #: Epoch seconds by PhotoGPT's clock; None if the list does not show it.
    created_at: float | None
    #: None if its record names no model, or cannot be read.
    model_id: str | None
    #: PhotoGPT showed its record. Another one may be of any model, so no job adopts it.
    readable: bool
    #: A job of ours has trained its model lately: the entry may be that training.
    trained: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """How long before and after an intent a generation of it may be created, in seconds."""

    skew_s: float
    settle_s: float

    def may_have_created(self, triggered_at: float, model_id: str | None, seen: Candidate) -> bool:
        """Return whether a trigger may have created a candidate; a request without a model fits any model."""
        in_time = seen.created_at is None or self.contains(triggered_at, seen.created_at)
        of_model = seen.model_id is None or (model_id == seen.model_id if model_id else not seen.trained)
        return in_time and of_model

    def contains(self, triggered_at: float, created_at: float) -> bool:
        """Return whether a generation of that trigger may be created at that time."""
        return triggered_at - self.skew_s <= created_at <= triggered_at + self.before_s

    @property
    def before_s(self) -> float:
        """How long before a generation its intent may have been recorded."""
        return MIN_SETTLES * self.settle_s + self.skew_s


def window_of(services: Services, search: Search) -> Window:
    """Return the window that applies to the generations of a search."""
    return Window(skew_s=search.skew_s, settle_s=services.settings.uncertain_settle_s)


def find_candidates(services: Services, job: Job, triggered_at: float, search: Search) -> list[Candidate]:
    """Return the unknown generations that a job may have created.

    GET /jobs lists trainings too, under ids that no trigger returns: a generation of another model, or of a model that
    was trained lately, is no candidate.

    Raises:
        ApiError: one of them could not be read, which may pass: a wrong key or an outage ends no job.
    """
    window, generations = window_of(services, search), services.store.generations
    created = [(name, search.listed[name]) for name in search.unknown]
    in_time = [name for name, at in created if at is None or window.contains(triggered_at, at)]
    names = generations.unknown(in_time)
    for name in names:
        error = search.unreadable.get(name)
        if error is not None and not isinstance(error, Refused):
            raise error
    models = {model for name in names if (model := search.models.get(name))}
    trained = models - {name.removeprefix("model:") for name in generations.unknown(f"model:{m}" for m in models)}
    seen = [
        Candidate(
            id=name,
            created_at=search.listed[name],
            model_id=search.models.get(name),
            readable=name in search.models,
            trained=search.models.get(name) in trained,
        )
        for name in names
    ]
    return [one for one in seen if window.may_have_created(triggered_at, job.model_id, one)]


def has_competitor(services: Services, job: Job, candidates: Iterable[Candidate], search: Search) -> bool:
    """Return whether the unresolved trigger of another job may have created one of the candidates.

    An intent that was recorded after the list was read does not count: the list shows no generation of it.
    """
    window, seen = window_of(services, search), list(candidates)
    first = min(search.start - search.skew_s if one.created_at is None else one.created_at for one in seen)
    until = search.listed_at + CLOCK_ERROR_S
    for other in services.store.generations.open_intents(first - window.before_s, until):
        if other.job_id == job.id or other.at > until:
            continue
        if not other.has_record or any(window.may_have_created(other.at, other.model_id, one) for one in seen):
            return True
    return False
