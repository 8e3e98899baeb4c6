"""Polls PhotoGPT's list of jobs to find ended generations. Saves requests; `steps/poll.py` decides about each job.

The rules are in `ops/docs/polling.md`, the arithmetic is in `domain/list_poll.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from threading import Lock

from worker.domain.backoff import KEY_CHECK_S, MAX_RETRY_AFTER_S
from worker.domain.durations import seconds_between
from worker.domain.errors import ApiError, Unauthorized
from worker.domain.job import JobState, JsonObject
from worker.domain.list_poll import (
    ENTRIES_PER_OLD_JOB,
    MIN_IN_FLIGHT,
    PERIODS,
    ListPollState,
    choose_window,
    is_control_sample,
    list_interval,
    sample_every,
    suspend_s,
)
from worker.domain.times import parse_time
from worker.photogpt.client import UNFINISHED
from worker.services import Services
from worker.store.list_poll import Entry, PageResult
from worker.telemetry.logs import event

MAX_SECONDS = 30.0  # of one list poll; jobs that it has not listed by then are polled singly
MIN_PAUSE_S = 0.2  # between two list polls
PAGE_S = 0.01  # of one page, until a list poll was timed
SLICE_PAGES = 20  # a window of twice as many pages is read in slices, some at the same time
MAX_SLICES, PARALLEL_SLICES = 64, 4
CHUNK = 500  # entries of one script
MAX_WINDOW_S = 7 * 86_400.0 - 60  # of GET /jobs, photogpt/api.md
AGE_MARGIN = 1.02  # the oldest sampled age times this is about the oldest age
CLOCK_MARGIN_S = 2.0  # of the window, where the offset of PhotoGPT's clock is known
MAX_OVERRUN = 1.5  # times the requests of single polls; a list poll with more pages stops


@dataclass
class ListScan:
    """One list poll in progress. Threads that read slices share it."""

    services: Services
    #: As of its start, with the expected cost.
    state: ListPollState
    #: Seconds for which a listed generation that has not ended is not polled singly.
    defer_s: float
    sample_every: int
    max_pages: float
    #: Monotonic time.
    ends_at: float
    in_flight: int
    page_size: float = 0.0
    pages: int = 0
    entries: int = 0
    #: Jobs older than their p95 that are polled singly although they are listed.
    old_jobs: int = 0
    confirmed: int = 0
    lag_s: float = 0.0
    clock_offset_s: float | None = None
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
    store, interval_s = services.store.list_polls, services.settings.job_poll_interval_s
    in_flight, ages = store.sample_ages()
    idle = replace(state, window_s=0.0, pages=0, seconds=0.0)
    if in_flight < MIN_IN_FLIGHT or not services.settings.list_polling:
        store.reschedule(idle, retry_in_s=None)
        return
    if at < state.suspended_until:
        store.reschedule(idle, retry_in_s=state.suspended_until - at)
        return
    window_s = choose_window(ages, in_flight, state)
    if window_s is None:
        store.reschedule(idle, retry_in_s=interval_s)
        return
    if in_flight > len(ages) and window_s == max(ages):
        window_s *= AGE_MARGIN
    start, end, min_duration_s = _window(services, state, window_s, at)
    planned = _plan(services, replace(state, min_duration_s=min_duration_s, window_s=window_s), in_flight)
    wait_s = max(min_duration_s if start >= end else 0.0, planned.interval_s)
    if window_s < wait_s:  # no job has ended yet, or has waited as long as it may for its list poll
        planned = replace(planned, pages=0, seconds=state.seconds)
        store.reschedule(planned, retry_in_s=min(interval_s, wait_s - window_s))
        return
    created = [at - age for age in ages if age <= window_s]
    measured, pause_s = _scan(services, planned, in_flight, (start, end), created, at)
    store.reschedule(measured, retry_in_s=0.0 if services.stopping.is_set() else pause_s)


def _window(services: Services, state: ListPollState, window_s: float, at: float) -> tuple[float, float, float]:
    """Return start and end of the window in epoch seconds of PhotoGPT's clock, and the age at which it begins."""
    skew_s, offset_s = services.settings.clock_skew_s, state.clock_offset_s
    min_duration_s = 0.0 if offset_s is None else services.store.schedules.min_duration_s
    start = at - window_s - (skew_s if offset_s is None else CLOCK_MARGIN_S - offset_s)
    end = at - min_duration_s + (offset_s or 0.0) if min_duration_s else at + skew_s
    return max(start, end - MAX_WINDOW_S), end, min_duration_s


def _plan(services: Services, state: ListPollState, in_flight: int) -> ListPollState:
    """Return the state with the expected pages and seconds of this list poll, and the interval to the next."""
    pages = max(state.pages, math.ceil(in_flight / state.page_size))
    interval_s = list_interval(pages, in_flight, state, services.store.schedules.limits)
    return replace(state, pages=pages, interval_s=interval_s, seconds=state.seconds or PAGE_S * pages)


def _scan(  # noqa: PLR0913 - the parts of one window
    services: Services,
    planned: ListPollState,
    in_flight: int,
    window: tuple[float, float],
    created: list[float],
    at: float,
) -> tuple[ListPollState, float]:
    """Read a window; return what was measured, and the seconds until the next list poll."""
    began, interval_s = time.monotonic(), services.settings.job_poll_interval_s
    scan = ListScan(
        services=services,
        state=planned,
        in_flight=in_flight,
        sample_every=sample_every(planned, in_flight),
        defer_s=PERIODS * (interval_s + planned.seconds),
        max_pages=MAX_OVERRUN * in_flight,
        ends_at=began + MAX_SECONDS,
    )
    services.store.list_polls.mark_started(planned, at=at)
    start, end = window
    error = _read_slices(scan, _slices(planned, start, end, created))
    measured = _measured(scan, at=at, window_s=min(end, at) - start, seconds=time.monotonic() - began)
    if error is None:
        pause_s = max(MIN_PAUSE_S, measured.interval_s - measured.seconds)
        return replace(measured, failures=0), pause_s
    measured = replace(measured, failures=planned.failures + 1, window_s=0.0)
    return measured, _pause_after(error, measured.failures, interval_s)


def _slices(planned: ListPollState, start: float, end: float, created: list[float]) -> list[tuple[float, float]]:
    """Cut a window into slices of about as many generations each, the youngest first, since most of them end soon."""
    count = min(MAX_SLICES, max(1, planned.pages // SLICE_PAGES))
    ordered = sorted(created)
    inner = {ordered[len(ordered) * number // count] for number in range(1, count)}
    edges = [start, *sorted(edge for edge in inner if start < edge < end), end]
    return list(pairwise(edges))[::-1]


def _read_slices(scan: ListScan, slices: list[tuple[float, float]]) -> ApiError | None:
    """Read the slices, some at the same time; return the first error."""
    with ThreadPoolExecutor(min(PARALLEL_SLICES, len(slices)), thread_name_prefix="list-poll") as pool:
        errors = list(pool.map(lambda window: _read(scan, *window), slices))
    return next((error for error in errors if error is not None), None)


def _read(scan: ListScan, start: float, end: float) -> ApiError | None:
    try:
        for asked_at, page in _pages(scan, start, end):
            _apply_page(scan, page, asked_at)
    except ApiError as error:
        event("list_poll.failed", f"{error}; jobs are polled singly", warn=True)
        scan.ends_at = 0.0  # stops the other slices too
        return error
    return None


def _pages(scan: ListScan, start: float, end: float) -> Iterator[tuple[float, list[JsonObject]]]:
    """Yield each page with the time of its request, within the request rate of all workers."""
    services = scan.services
    pages = services.photogpt.pages_between(start, end, most=max(1, int(scan.max_pages)))
    while not scan.stopped:
        wait_s = services.store.list_polls.take_rate_token()
        if wait_s > 0:
            time.sleep(min(wait_s, 1.0))
            continue
        asked_at = services.store.clock()
        page = next(pages, None)
        if page is None:
            return
        yield asked_at, page


def _apply_page(scan: ListScan, page: list[JsonObject], asked_at: float) -> None:
    with scan.lock:
        scan.pages += 1
        scan.entries += len(page)
        scan.page_size = max(scan.page_size, len(page))
    for begin in range(0, len(page), CHUNK):
        chunk = page[begin : begin + CHUNK]
        entries = [_entry(scan, listed) for listed in chunk]
        with scan.lock:
            allowed = max(0, 1 + scan.entries // ENTRIES_PER_OLD_JOB - scan.old_jobs)
        result = scan.services.store.list_polls.apply_page(
            entries, asked_at=asked_at, defer_s=scan.defer_s, old_jobs=allowed
        )
        _add(scan, result, chunk)
        _mark_running(scan, result.running)


def _entry(scan: ListScan, listed: JsonObject) -> Entry:
    generation_id, status = str(listed["jobId"]), str(listed.get("status", "")).strip().lower()
    if status in {"success", "failed"}:
        return Entry(generation_id, "ended", seconds_between(listed.get("createdAt"), listed.get("updatedAt")))
    if status not in UNFINISHED or is_control_sample(generation_id, scan.sample_every):
        return Entry(generation_id, "ignored")
    return Entry(generation_id, "running" if status == "running" else "waiting")


def _add(scan: ListScan, result: PageResult, chunk: list[JsonObject]) -> None:
    """Add what a page has shown about the list to what this list poll has measured."""
    with scan.lock:
        scan.confirmed += result.confirmed
        scan.old_jobs += result.old_jobs
        scan.lag_s = max(scan.lag_s, result.lag_s)
        if result.submitted_at is None:
            return
        created_at = parse_time(chunk[result.index].get("createdAt"))
        if created_at is not None:
            offset_s = created_at - result.submitted_at
            scan.clock_offset_s = offset_s if scan.clock_offset_s is None else min(offset_s, scan.clock_offset_s)


def _mark_running(scan: ListScan, job_ids: list[str]) -> None:
    """Store the state `running` of jobs that only the list has shown as running."""
    services = scan.services
    for job_id in job_ids:
        job = services.store.jobs.get(job_id)
        if job is not None and job.state is JobState.SUBMITTED:
            update = services.publisher.progress(job, JobState.RUNNING, job.generation_id)
            left_s = max(0.0, job.deadline_at - services.store.clock())
            services.store.jobs.mark_running(job, poll_after=min(scan.defer_s, left_s), update=update)


def _measured(scan: ListScan, *, at: float, window_s: float, seconds: float) -> ListPollState:
    """Return the state of the list after this list poll; suspended if the list was wrong about an end."""
    state = scan.state
    density = scan.entries / max(window_s, 1.0)
    measured = replace(
        state,
        page_size=scan.page_size or state.page_size,
        density=max(density, state.density or 0.0) if scan.stopped else density,
        clock_offset_s=scan.clock_offset_s if scan.clock_offset_s is not None else state.clock_offset_s,
        confirmed=state.confirmed + scan.confirmed,
        pages=scan.pages,
        seconds=seconds,
        interval_s=list_interval(scan.pages, scan.in_flight, state, scan.services.store.schedules.limits),
    )
    if not scan.lag_s:
        return measured
    wait_s = suspend_s(state.suspensions + 1)
    event(
        "list_poll.suspended",
        f"PhotoGPT's list shows a generation as under way {scan.lag_s:.1f} s after its end; not used for {wait_s:.0f} s",
        lag_s=round(scan.lag_s, 1),
        suspended_s=round(wait_s),
        warn=True,
    )
    return replace(measured, suspensions=state.suspensions + 1, suspended_until=at + wait_s, confirmed=0, window_s=0.0)


def _pause_after(error: ApiError, failures: int, interval_s: float) -> float:
    """Return the seconds until the list is polled again, after so many failures in a row."""
    wait_s: float = min(MAX_RETRY_AFTER_S, interval_s * 2 ** min(failures - 1, 10))
    wait_s = max(wait_s, KEY_CHECK_S) if isinstance(error, Unauthorized) else wait_s
    return max(wait_s, min(error.retry_after or 0.0, MAX_RETRY_AFTER_S))
