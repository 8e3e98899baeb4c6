"""Searches PhotoGPT's list once for all jobs of this process whose triggers are unresolved.

One thread at a time requests pages, and reads the generations that are unknown. It stops after a part of its lease, and
the next job goes on at the same page. A job uses a search only if that began at least the settling time after the
trigger, since an earlier one may have missed its generation. The decision counts from the beginning of the search.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from threading import Lock

from worker.domain.backoff import MAX_RETRY_AFTER_S, obeying
from worker.domain.errors import ApiError, Refused, Throttled, Unavailable
from worker.domain.times import parse_time
from worker.photogpt.client import PhotoGPT
from worker.photogpt.listing import Listing
from worker.services import Services
from worker.telemetry.logs import event

MAX_SETTLES = 4  # settling times after a trigger; until then, a job needs a new search after each of them
SEARCHES_PER_SETTLE = 6  # that may begin in a settling time: jobs that come due one by one share them
STEP_FRACTION = 0.25  # of the deadline of a call, in which a step begins requests; the lease holds for one call more
MAX_FAILURES = 8  # in a row; with 30 % errors a list of 75 pages ends in 99.5 % of the cases
RETRY_S = 0.5  # after the first failure; doubles with each one, up to the time between two searches
MAX_ASKS_PER_S = 20  # of jobs that wait while another thread searches
MAX_SKEW_S = 86_400  # between two clocks; GET /jobs shows a week at most
DATE_ERROR_S = 2.0  # of an offset read from Date headers, which show seconds


@dataclass(kw_only=True, slots=True, eq=False)
class Search:
    """One search of GET /jobs. Times are epoch seconds. Nothing changes once it has ended."""

    photogpt: PhotoGPT
    began_at: float
    #: The earliest trigger that it serves.
    start: float
    #: The clock skew allowed for, in seconds.
    skew_s: float
    pages: Listing
    #: The listed generations with their times of creation.
    listed: dict[str, float | None] = field(default_factory=dict)
    #: Those that belonged to no job of ours after the last page was read.
    unknown: list[str] = field(default_factory=list)
    #: The models of generations that were read, by generation; None: the record names no model.
    models: dict[str, str | None]
    #: Why generations could not be read.
    unreadable: dict[str, ApiError] = field(default_factory=dict)
    #: Unknown generations to read; None until the last page was read.
    unread: deque[str] | None = None
    #: When the last page was read: the list shows nothing that was triggered later.
    listed_at: float = 0.0
    #: No further request is made, since all was read or the list failed.
    ended: bool = False
    completed_at: float = 0.0

    def advance(self, services: Services) -> None:
        """Request one page or one unknown generation, and complete the search after the last one."""
        if self.unread is None:
            self._read_page(services)
        elif self.unread:
            self._read_generation(self.unread)
        if self.unread is not None and not self.unread:
            self.completed_at, self.ended = services.store.clock(), True

    def give_up(self, services: Services, error: ApiError) -> None:
        """End a search after errors. Raises the error if it was one of the list."""
        if self.unread is None:
            self.ended = True
            raise error
        self.unreadable |= dict.fromkeys(self.unread, error)
        self.completed_at, self.ended = services.store.clock(), True

    def _read_page(self, services: Services) -> None:
        page = next(self.pages, None)
        if page is not None:
            self.listed |= {str(entry["jobId"]): parse_time(entry.get("createdAt")) for entry in page}
            return
        self.listed_at = services.store.clock()
        self.unknown = services.store.generations.unknown(sorted(self.listed))
        self.models = {name: self.models[name] for name in self.unknown if name in self.models}
        self.unread = deque(name for name in self.unknown if name not in self.models)

    def _read_generation(self, unread: deque[str]) -> None:
        unread.rotate(-1)  # one that fails is read again after the others
        try:
            self.models[unread[-1]] = self.photogpt.generation(unread[-1]).model_id
        except Refused as error:  # a 404: listed, but not readable yet
            self.unreadable[unread[-1]] = error
        unread.pop()


class SharedSearch:
    """The search of this process."""

    def __init__(self) -> None:
        """Search nothing yet."""
        self._lock = Lock()
        self._current: Search | None = None
        self._completed: Search | None = None  # of use to other jobs while the next one is in progress
        self._waiting = 0  # how often jobs were sent away since a search was completed
        self._start = math.inf  # the earliest trigger that waits for the next search
        self._failures = 0  # in a row
        self._resume_at = 0.0  # monotonic time

    def result(self, services: Services, triggered_at: float, at: float) -> Search | float:
        """Return a completed search that counts for a job, or the seconds until the job should ask again.

        Args:
            services: the process' clients.
            triggered_at: when the job's intent was recorded, at least the settling time ago.
            at: Redis' time.

        Raises:
            ApiError: the list cannot be read now.
        """
        if (found := self._completed) and _counts(services, found, triggered_at, at):
            return found
        self._start = min(self._start, triggered_at)
        if not self._lock.acquire(blocking=False):
            return self._spread(services)
        try:
            return self._go_on(services, triggered_at, at)
        finally:
            self._lock.release()

    def _spread(self, services: Services) -> float:
        """Return when a job asks again: later, the more jobs wait, so that they do not take all threads of the lane."""
        self._waiting += 1
        settle_s = services.settings.uncertain_settle_s
        return min(settle_s, max(search_interval_s(services) / 2, self._waiting / MAX_ASKS_PER_S))

    def _go_on(self, services: Services, triggered_at: float, at: float) -> Search | float:
        """Make one request after another until a search counts for the job, or the time of this step is over."""
        ends = time.monotonic() + STEP_FRACTION * services.settings.api_call_deadline_s
        while True:
            if (found := self._completed) and _counts(services, found, triggered_at, at):
                return found
            pause_s = max(0.0, self._resume_at - time.monotonic())
            if time.monotonic() + pause_s > ends or services.stopping.wait(pause_s):
                return pause_s
            search = self._current
            if search is None or search.ended or search.photogpt is not services.photogpt:
                pause_s = search.began_at + search_interval_s(services) - at if search else 0.0
                if search and pause_s > 0 and _fits(services, search):
                    return pause_s
                search = self._begin(services, min(self._start, triggered_at), at)
            self._request(services, search)

    def _begin(self, services: Services, start: float, at: float) -> Search:
        allowed, skew_s = services.settings.clock_skew_s, _clock_skew(services)
        if skew_s > allowed:
            skew_s += DATE_ERROR_S
            message = (
                f"PhotoGPT's clock and Redis' differ by more than PHOTOGPT_CLOCK_SKEW_S; {skew_s:.0f} s are allowed for"
            )
            event("clock.skewed", message, skew_s=round(skew_s), warn=True)
        pages = services.photogpt.pages_between(start - skew_s, at + skew_s)
        models = dict(self._current.models) if self._current else {}
        self._start = math.inf
        self._current = Search(
            photogpt=services.photogpt, began_at=at, start=start, skew_s=skew_s, pages=pages, models=models
        )
        return self._current

    def _request(self, services: Services, search: Search) -> None:
        """Make one request. The search goes on after errors that may pass, unless there are many in a row."""
        try:
            search.advance(services)
            self._failures = 0
            if search.ended:
                self._completed, self._waiting = search, 0
        except ApiError as error:
            self._failures = min(self._failures + 1, MAX_FAILURES)
            planned = min(search_interval_s(services), RETRY_S * 2 ** (self._failures - 1))
            self._resume_at = time.monotonic() + obeying(error.retry_after, planned, cap=MAX_RETRY_AFTER_S)
            may_pass = search.unread is not None or isinstance(error, Throttled | Unavailable)
            if self._failures >= MAX_FAILURES or not may_pass:
                search.give_up(services, error)
                self._completed = search


def search_interval_s(services: Services) -> float:
    """Return the minimum seconds between the beginnings of two searches."""
    return services.settings.uncertain_settle_s / SEARCHES_PER_SETTLE


def _counts(services: Services, search: Search, triggered_at: float, at: float) -> bool:
    """Return whether the result of a completed search counts for a job now.

    A search that began before the job's latest full settling time counts shortly after its end, so that a long one is
    of use. One that could not read all generations, for a reason that may pass, is soon made again.
    """
    settle_s = services.settings.uncertain_settle_s
    latest = triggered_at + settle_s * min(MAX_SETTLES, (at - triggered_at) // settle_s)
    complete = all(isinstance(error, Refused) for error in search.unreadable.values())
    just_ended = at - search.completed_at <= search_interval_s(services)
    new = just_ended or (complete and search.began_at >= latest)
    serves = search.start <= triggered_at and search.began_at >= triggered_at + settle_s
    return new and serves and _fits(services, search)


def _fits(services: Services, search: Search) -> bool:
    """Return whether a search was made by the same client, and allows for the clock skew that is known now."""
    return search.photogpt is services.photogpt and search.skew_s >= _clock_skew(services)


def _clock_skew(services: Services) -> float:
    allowed = services.settings.clock_skew_s
    offset = abs(services.photogpt.clock_offset_s(services.store.clock()) or 0.0)
    return allowed if offset <= allowed else allowed + min(math.ceil(offset), MAX_SKEW_S)
