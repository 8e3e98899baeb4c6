"""The list of jobs -> which generations have ended. Saves requests, decides nothing: see `domain/sweeping.py`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from threading import Lock

from worker.domain.durations import between
from worker.domain.errors import ApiError, Unauthorized
from worker.domain.job import JobState, JsonObject
from worker.domain.list_poll import (
    MIN_IN_FLIGHT,
    OWN,
    ListPollState,
    choose_window,
    gap,
    is_control_sample,
    sample_every,
    suspend_s,
)
from worker.domain.times import parse_time
from worker.services import Services
from worker.steps.poll import FIRST_SWEPT, KEY_CHECK_S, MAX_WAIT_S, UNFINISHED
from worker.store.list_poll import Entry, PageResult
from worker.telemetry.logs import event

MAX_S = 30.0  # of one sweep; what it has not read by then is left to single looks
MIN_PAUSE_S = 0.2  # between two sweeps
PAGE_S = 0.01  # of one page, until a sweep was timed
SLICE_PAGES = 20  # a window that takes twice as many is read in slices, some at once
MAX_SLICES, AT_ONCE = 64, 4
CHUNK = 500  # entries of one script
MAX_WINDOW_S = 7 * 86_400.0 - 60  # that GET /jobs can be asked for, photogpt/api.md
BEYOND = 1.02  # times the age of the oldest one drawn: the oldest of all, about
MARGIN_S = 2.0  # of the window, where PhotoGPT's clock is known
OVERSPENT = 1.5  # times the pages that single looks would have cost: then the sweep is given up


@dataclass
class ListScan:
    """One sweep under way."""

    services: Services
    #: As of its begin, with what is expected of it.
    known: ListPollState
    defer_s: float
    #: Of so many generations one is a canary.
    sample_every: int
    #: Pages after which it is not worth going on.
    most_pages: float
    ends: float
    under_way: int
    page_size: float = 0.0
    pages: int = 0
    entries: int = 0
    #: Generations that got a look of their own although the list shows them.
    own: int = 0
    confirmed: int = 0
    lag_s: float = 0.0
    offset_s: float | None = None
    lock: Lock = field(default_factory=Lock)

    @property
    def over(self) -> bool:
        """Whether the rest is left to single looks."""
        return self.pages >= self.most_pages or time.monotonic() > self.ends or self.services.stopping.is_set()


def list_poll(services: Services, known: ListPollState, at: float) -> None:
    """Read the list of jobs once, if that is worth while, and write down what was learned.

    Args:
        services: the process' clients.
        known: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    store, interval = services.store.list_polls, services.settings.job_poll_interval_s
    under_way, ages = store.sample_ages()
    idle = replace(known, window_s=0.0, pages=0, seconds=0.0)
    if under_way < MIN_IN_FLIGHT or not services.settings.list_polling:
        store.reschedule(idle, retry_in_s=None)
        return
    if at < known.suspended_until:
        store.reschedule(idle, retry_in_s=known.suspended_until - at)
        return
    far = choose_window(ages, under_way, known)
    if far is None:
        store.reschedule(idle, retry_in_s=interval)
        return
    if under_way > len(ages) and far == max(ages):
        far *= BEYOND
    early = 0.0 if known.offset_s is None else services.store.schedules.min_duration_s
    start = at - far - (services.settings.clock_skew_s if known.offset_s is None else MARGIN_S - known.offset_s)
    end = at + services.settings.clock_skew_s if not early else at - early + (known.offset_s or 0.0)
    start = max(start, end - MAX_WINDOW_S)
    expected = _expected(services, replace(known, min_duration_s=early, window_s=far), under_way)
    young = max(early if start >= end else 0.0, expected.gap_s)
    if far < young:  # none has ended, or none for as long as it may have to wait for its sweep
        store.reschedule(replace(expected, pages=0, seconds=known.seconds), retry_in_s=min(interval, young - far))
        return
    began = time.monotonic()
    scan = ListScan(
        services=services,
        known=expected,
        under_way=under_way,
        sample_every=sample_every(known, under_way),
        defer_s=FIRST_SWEPT * (interval + expected.seconds),
        most_pages=OVERSPENT * under_way,
        ends=began + MAX_S,
    )
    store.mark_started(expected, at=at)
    fault = _read_all(scan, _slices(expected, start, end, [at - age for age in ages if age <= far]))
    learned = _learned(scan, at=at, window_s=min(end, at) - start, seconds=time.monotonic() - began)
    if fault is None:
        learned = replace(learned, broken=0)
        pause = max(MIN_PAUSE_S, learned.gap_s - learned.seconds)
    else:
        learned = replace(learned, broken=known.broken + 1, window_s=0.0)
        pause = _pause_after(fault, learned.broken, interval)
    store.reschedule(learned, retry_in_s=0.0 if services.stopping.is_set() else pause)


def _expected(services: Services, known: ListPollState, under_way: int) -> ListPollState:
    """Return what is known, with how many pages and seconds this sweep may take, and how soon the next one follows."""
    pages = max(known.pages, math.ceil(under_way / known.page_size))
    limits = services.store.schedules.limits
    return replace(
        known, pages=pages, gap_s=gap(pages, under_way, known, limits), seconds=known.seconds or PAGE_S * pages
    )


def _slices(expected: ListPollState, start: float, end: float, begun: list[float]) -> list[tuple[float, float]]:
    """Cut a window into slices of about as many generations each, the youngest first: most of them end soon."""
    count = min(MAX_SLICES, max(1, expected.pages // SLICE_PAGES))
    ordered = sorted(begun)
    inner = {ordered[len(ordered) * number // count] for number in range(1, count)}
    edges = [start, *sorted(edge for edge in inner if start < edge < end), end]
    return list(pairwise(edges))[::-1]


def _read_all(scan: ListScan, slices: list[tuple[float, float]]) -> ApiError | None:
    """Read the slices, some at once; return what broke it off."""
    with ThreadPoolExecutor(min(AT_ONCE, len(slices)), thread_name_prefix="sweep") as pool:
        faults = list(pool.map(lambda window: _read(scan, *window), slices))
    return next((fault for fault in faults if fault is not None), None)


def _read(scan: ListScan, start: float, end: float) -> ApiError | None:
    try:
        for asked_at, page in _pages(scan, start, end):
            apply_page(scan, page, asked_at)
    except ApiError as error:
        event("list_poll.failed", f"{error}; single looks go on", warn=True)
        scan.ends = 0.0  # for the other slices, too
        return error
    return None


def _pages(scan: ListScan, start: float, end: float) -> Iterator[tuple[float, list[JsonObject]]]:
    services = scan.services
    pages = services.photogpt.pages_between(start, end, max_pages=max(1, int(scan.most_pages)))
    while not scan.over:
        wait = services.store.list_polls.take_rate_token()
        if wait > 0:
            time.sleep(min(wait, 1.0))
            continue
        asked_at = services.store.clock()
        page = next(pages, None)
        if page is None:
            return
        yield asked_at, page


def apply_page(scan: ListScan, page: list[JsonObject], asked_at: float) -> None:
    with scan.lock:
        scan.pages += 1
        scan.entries += len(page)
        scan.page_size = max(scan.page_size, len(page))
    for begin in range(0, len(page), CHUNK):
        chunk = page[begin : begin + CHUNK]
        entries = [_entry(scan, shown) for shown in chunk]
        with scan.lock:
            own = max(0, 1 + scan.entries // OWN - scan.own)
        page_result = scan.services.store.list_polls.apply_page(
            entries, asked_at=asked_at, defer_s=scan.defer_s, own=own
        )
        _note(scan, replace(page_result, own=own - page_result.own), chunk)
        _mark_running(scan, page_result.running)


def _entry(scan: ListScan, shown: JsonObject) -> Entry:
    name, status = str(shown["jobId"]), str(shown.get("status", "")).strip().lower()
    if status in {"success", "failed"}:
        return Entry(name, "ended", between(shown.get("createdAt"), shown.get("updatedAt")))
    if status not in UNFINISHED or is_control_sample(name, scan.sample_every):
        return Entry(name, "see")
    return Entry(name, "working" if status == "running" else "put off")


def _note(scan: ListScan, page_result: PageResult, chunk: list[JsonObject]) -> None:
    with scan.lock:
        scan.confirmed += page_result.confirmed
        scan.own += page_result.own
        scan.lag_s = max(scan.lag_s, page_result.lag_s)
        if (
            page_result.submitted_at is None
            or (created := parse_time(chunk[page_result.place].get("createdAt"))) is None
        ):
            return
        offset = created - page_result.submitted_at
        scan.offset_s = offset if scan.offset_s is None else min(offset, scan.offset_s)


def _mark_running(scan: ListScan, ids: list[str]) -> None:
    """Write down that PhotoGPT works on some jobs; nobody has looked at them singly."""
    services = scan.services
    for job_id in ids:
        job = services.store.jobs.get(job_id)
        if job is not None and job.state is JobState.SUBMITTED:
            update = services.publisher.progress(job, JobState.RUNNING, job.generation_id)
            left = max(0.0, job.deadline_at - services.store.clock())
            services.store.jobs.mark_running(job, poll_after=min(scan.defer_s, left), update=update)


def _learned(scan: ListScan, *, at: float, window_s: float, seconds: float) -> ListPollState:
    known, whole = scan.known, not scan.over
    density = scan.entries / max(window_s, 1.0)
    learned = replace(
        known,
        page_size=scan.page_size or known.page_size,
        density=density if whole else max(density, known.density or 0.0),
        offset_s=scan.offset_s if scan.offset_s is not None else known.offset_s,
        confirmed=known.confirmed + scan.confirmed,
        pages=scan.pages,
        seconds=seconds,
        gap_s=gap(scan.pages, scan.under_way, known, scan.services.store.schedules.limits),
    )
    if not scan.lag_s:
        return learned
    wait = suspend_s(known.suspensions + 1)
    event(
        "list_poll.suspended",
        f"PhotoGPT's list of jobs shows as under way what had ended {scan.lag_s:.1f} s before; "
        f"not used for {wait:.0f} s",
        warn=True,
    )
    return replace(learned, suspensions=known.suspensions + 1, suspended_until=at + wait, confirmed=0, window_s=0.0)


def _pause_after(fault: ApiError, broken: int, interval: float) -> float:
    """Return the seconds until a sweep is tried again, after so many in a row have broken off."""
    wait: float = min(MAX_WAIT_S, interval * 2 ** min(broken - 1, 10))
    wait = max(wait, KEY_CHECK_S) if isinstance(fault, Unauthorized) else wait
    return max(wait, min(fault.retry_after or 0.0, MAX_WAIT_S))
