"""Polls PhotoGPT's list of jobs to find ended generations. Saves requests; `steps/poll.py` decides about each job.

The rules are in `ops/docs/polling.md`, the arithmetic is in `domain/list_poll.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from threading import Lock

from worker.domain.backoff import KEY_CHECK_S, MAX_RETRY_AFTER_S, obeying
from worker.domain.errors import ApiError, Throttled, Unauthorized
from worker.domain.job import Job, JobState, JsonObject
from worker.domain.list_poll import (
    STALE_S,
    SUSPEND_S,
    ListPollState,
    choose_window,
    defer_s,
    earned_credit,
    expected_pages,
    is_affordable,
    list_interval,
    slice_count,
)
from worker.photogpt.client import UNFINISHED
from worker.services import Services
from worker.steps import list_changes
from worker.steps.list_changes import ListChanges
from worker.store.list_poll import InFlight, ListedGeneration
from worker.telemetry import recorder
from worker.telemetry.logs import event
from worker.telemetry.metrics import LIST_PAGES
from worker.threads import LifoExecutor

MAX_SECONDS = 10.0  # of one list poll; generations that it has not read by then are polled singly
MIN_PAUSE_S = 0.1  # between two list polls
PARALLEL_SLICES = 8  # read at the same time
MAX_OVERRUN = 2  # times the expected pages; then a list poll stops
MAX_WINDOW_S = 7 * 86_400.0 - 60  # of GET /jobs, photogpt/api.md
CLOCK_MARGIN_S = 2.0  # of the window, where the Date header shows PhotoGPT's clock


@dataclass
class Scan:
    """One list poll in progress. The threads that read its slices share it."""

    services: Services
    max_pages: float
    changes: ListChanges
    #: Monotonic time.
    ends_at: float
    #: Ends that single polls have shown lately, by generation: epoch seconds.
    recently_ended: dict[str, float]
    #: Entries of the largest page, and of the largest that another one followed.
    largest_page: int = 0
    page_size: int = 0
    pages: int = 0
    #: Spent on the requests for pages, added up over the threads.
    seconds: float = 0.0
    entries: int = 0
    #: Jobs whose end the list has shown.
    ended: int = 0
    #: Seconds after the end of a generation at which the list still showed it as under way.
    lag_s: float = 0.0
    lock: Lock = field(default_factory=Lock)

    @property
    def stopped(self) -> bool:
        """Whether no further page is read."""
        stopping = self.services.stopping.is_set()
        return self.pages >= self.max_pages or time.monotonic() > self.ends_at or stopping


def list_poll(services: Services, state: ListPollState, at: float) -> None:
    """Read the list of jobs once, if that costs less than single polls, and store what was measured.

    Args:
        services: the process' clients.
        state: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    settings, store = services.settings, services.store.list_polls
    interval_s, budget = settings.job_poll_interval_s, settings.poll_budget
    sample = store.in_flight()
    credit = earned_credit(state, sample.in_flight, at, interval_s=interval_s, budget=budget)
    state = replace(state, credit=credit)
    window_s = choose_window(sample.ages, sample.in_flight, state, budget) if settings.list_polling else None
    if window_s is None or at < state.suspended_until:
        idle = replace(state, window_s=0.0, pages=0, seconds=0.0, credit=0.0)
        waits = sample.in_flight and settings.list_polling
        if state.window_s:  # no generation waits longer than an interval from one page or poll to the next
            _resume_single_polls(services, max(0.0, interval_s - (at - state.at + state.seconds)))
        store.reschedule(idle, retry_in_s=max(interval_s, state.suspended_until - at) if waits else None)
        return
    share = sum(age <= window_s for age in sample.ages) / len(sample.ages)
    pages = expected_pages(share * sample.in_flight, window_s, state)
    floor_s = interval_s if sample.throttled else settings.job_poll_floor_s  # polls give way to triggers
    measured, error = _scan(services, replace(state, window_s=window_s), pages, sample, at)
    if not is_affordable(measured.pages, sample.in_flight, credit, budget):
        measured = replace(measured, window_s=0.0)
    measured = replace(measured, credit=credit - measured.pages)
    every_s = list_interval(
        measured.pages or pages,
        sample.in_flight,
        measured.ends_per_s,
        credit=measured.credit,
        interval_s=interval_s,
        floor_s=min(floor_s, interval_s),
        budget=budget,
    )
    pause_s = _pause_after(error, measured.failures, interval_s) if error else every_s - measured.seconds
    if not measured.window_s:
        _resume_single_polls(services, interval_s)
    retry_in_s = 0.0 if services.stopping.is_set() else max(MIN_PAUSE_S, pause_s)
    store.reschedule(replace(measured, interval_s=every_s), retry_in_s=retry_in_s)


def _resume_single_polls(services: Services, within_s: float) -> None:
    """Poll deferred jobs singly again; the next list poll then sends Redis everything once more."""
    list_changes.forget()
    interval_s = services.settings.job_poll_interval_s
    services.store.list_polls.resume_single_polls(within_s, interval_s=interval_s)


def _scan(
    services: Services, state: ListPollState, pages: int, sample: InFlight, at: float
) -> tuple[ListPollState, ApiError | None]:
    """Read a window; return what was measured, and the error that stopped it."""
    began = time.monotonic()
    scan = Scan(
        services=services,
        max_pages=MAX_OVERRUN * pages,
        changes=ListChanges(at, sample.in_flight, services.settings.job_poll_interval_s),
        ends_at=began + MAX_SECONDS,
        recently_ended=sample.recently_ended,
    )
    start, end = _window(services, state.window_s, at)
    error = _read_slices(scan, _slices(slice_count(pages, state.page_s), start, end, [at - age for age in sample.ages]))
    if not scan.stopped:
        scan.changes.keep()
    density = scan.entries / max(state.window_s, 1.0)
    measured = replace(
        state,
        page_size=float(scan.page_size or max(scan.largest_page, state.page_size)),
        density=max(density, state.density) if scan.stopped else density,
        pages=scan.pages,
        ends_per_s=(state.ends_per_s + scan.ended / max(at - state.at + state.seconds, MIN_PAUSE_S)) / 2,
        seconds=time.monotonic() - began,
        page_s=scan.seconds / scan.pages if scan.pages else state.page_s,
        failures=state.failures + 1 if error else 0,
    )
    if scan.lag_s:
        return _suspended(measured, scan, at), error
    # single polls of all jobs would only get more 429; a deferred job comes due within three intervals anyway
    gives_back = error is not None and not isinstance(error, Throttled)
    return (replace(measured, window_s=0.0) if gives_back else measured), error


def _window(services: Services, window_s: float, at: float) -> tuple[float, float]:
    """Return start and end of the window in epoch seconds of PhotoGPT's clock."""
    ahead_s = services.photogpt.clock_offset_s(at)
    margin_s = services.settings.clock_skew_s if ahead_s is None else CLOCK_MARGIN_S
    end = at + (ahead_s or 0.0) + margin_s
    return end - min(window_s + 2 * margin_s, MAX_WINDOW_S), end


def _slices(count: int, start: float, end: float, created: list[float]) -> list[tuple[float, float]]:
    """Cut a window into slices of about as many generations each."""
    ordered = sorted(created)
    inner = {ordered[len(ordered) * number // count] for number in range(1, count)}
    return list(pairwise([start, *sorted(edge for edge in inner if start < edge < end), end]))


def _read_slices(scan: Scan, slices: list[tuple[float, float]]) -> ApiError | None:
    """Read the slices, some at the same time; return the first error."""
    if len(slices) == 1:
        return _read(scan, *slices[0])
    try:
        with LifoExecutor(min(PARALLEL_SLICES, len(slices)), name="list-poll") as pool:
            errors = list(pool.map(lambda window: _read(scan, *window), slices))
    except RuntimeError:  # no thread can start
        errors = [_read(scan, *window) for window in slices]
    return next((error for error in errors if error is not None), None)


def _read(scan: Scan, start: float, end: float) -> ApiError | None:
    try:
        before = 0
        for asked_at, page in _pages(scan, start, end):
            scan.page_size = max(scan.page_size, before)  # a page that another one follows is full
            before = len(page)
            scan.largest_page = max(scan.largest_page, before)
            _apply_page(scan, page, asked_at)
    except ApiError as error:
        event("list_poll.failed", f"{error}; jobs are polled singly", warn=True)
        scan.ends_at = 0.0  # stops the other slices too
        return error
    return None


def _pages(scan: Scan, start: float, end: float) -> Iterator[tuple[float, list[JsonObject]]]:
    """Yield each page with the time of its request, within the request rate of all workers."""
    services = scan.services
    pages = services.photogpt.pages_between(start, end)
    while not scan.stopped:
        wait_s = services.store.list_polls.take_rate_token()
        if wait_s > 0:
            time.sleep(min(wait_s, 1.0))
            continue
        asked_at = services.store.clock()
        page = next(pages, None)
        if page is None:
            return
        with scan.lock:
            scan.seconds += services.store.clock() - asked_at
        yield asked_at, page


def _apply_page(scan: Scan, page: list[JsonObject], asked_at: float) -> None:
    """Send Redis what this page shows for the first time, or what has to be repeated."""
    random_fraction = scan.services.random.random()
    entries = [entry for listed in page if (entry := _entry(scan, listed, asked_at, random_fraction)) is not None]
    recorder.count(LIST_PAGES)
    with scan.lock:
        scan.pages += 1
        scan.entries += len(page)
    if entries:
        services = scan.services
        deferred_s = defer_s(services.settings.job_poll_interval_s)
        ended, running = services.store.list_polls.apply_page(entries, defer_s=deferred_s)
        with scan.lock:
            scan.ended += ended
        if running:
            _mark_running(services, running, deferred_s)


def _entry(scan: Scan, listed: JsonObject, asked_at: float, random_fraction: float) -> ListedGeneration | None:
    """Return what has to be sent to Redis of a listed generation, or None; note where the list lags."""
    generation_id, status = str(listed["jobId"]), str(listed.get("status", "")).strip().lower()
    ended_at = scan.recently_ended.get(generation_id)
    if ended_at is not None and status in UNFINISHED and asked_at - ended_at > STALE_S:
        scan.lag_s = max(scan.lag_s, asked_at - ended_at)
    return scan.changes.entry(generation_id, status, listed, random_fraction)


def _mark_running(services: Services, jobs: list[Job], deferred_s: float) -> None:
    """Store the state `running` of jobs that only the list has shown as running."""
    updates = [services.publisher.progress(job, JobState.RUNNING, job.generation_id) for job in jobs]
    services.store.jobs.mark_all_running(zip(jobs, updates, strict=True), poll_after=deferred_s)


def _suspended(measured: ListPollState, scan: Scan, at: float) -> ListPollState:
    """Return the state of a list that a single poll has proved wrong."""
    event(
        "list_poll.suspended",
        f"PhotoGPT's list shows a generation as under way {scan.lag_s:.1f} s after its end; "
        f"not used for {SUSPEND_S:.0f} s",
        lag_s=round(scan.lag_s, 1),
        suspended_s=round(SUSPEND_S),
        warn=True,
    )
    return replace(measured, suspended_until=at + SUSPEND_S, window_s=0.0)


def _pause_after(error: ApiError, failures: int, interval_s: float) -> float:
    """Return the seconds until the list is polled again, after so many failures in a row."""
    wait_s: float = min(MAX_RETRY_AFTER_S, interval_s * 2 ** min(failures - 1, 10))
    wait_s = max(wait_s, KEY_CHECK_S) if isinstance(error, Unauthorized) else wait_s
    return obeying(error.retry_after, wait_s, cap=MAX_RETRY_AFTER_S)
