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
from worker.domain.job import JobState, epoch_told, type_json
from worker.domain.sweeping import LEAST, OWN, Sweeping, canaries, distrust_s, gap, is_canary, reach
from worker.pipeline.poll import FIRST_SWEPT, KEY_CHECK_S, LONGEST_WAIT_S, UNFINISHED
from worker.services import Services
from worker.store.sweeps import Entry, Swept
from worker.telemetry.logs import event

LONGEST_S = 30.0  # of one sweep; what it has not read by then is left to single looks
SHORTEST_PAUSE_S = 0.2  # between two sweeps
PAGE_S = 0.01  # of one page, until a sweep was timed
SLICE_PAGES = 20  # a window that takes twice as many is read in slices, some at once
MOST_SLICES, AT_ONCE = 64, 4
CHUNK = 500  # entries of one script
LONGEST_WINDOW_S = 7 * 86_400.0 - 60  # that GET /jobs can be asked for, photogpt/api.md
BEYOND = 1.02  # times the age of the oldest one drawn: the oldest of all, about
MARGIN_S = 2.0  # of the window, where PhotoGPT's clock is known
OVERSPENT = 1.5  # times the pages that single looks would have cost: then the sweep is given up


@dataclass
class Reading:
    """One sweep under way."""

    services: Services
    #: As of its begin, with what is expected of it.
    known: Sweeping
    put_off_s: float
    #: Of so many generations one is a canary.
    one_of: int
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


def sweep(services: Services, known: Sweeping, at: float) -> None:
    """Read the list of jobs once, if that is worth while, and write down what was learned.

    Args:
        services: the process' clients.
        known: as it was claimed.
        at: Redis' time, epoch seconds.
    """
    store, interval = services.store.sweeps, services.settings.job_poll_interval_s
    under_way, ages = store.survey()
    idle = replace(known, reach_s=0.0, pages=0, seconds=0.0)
    if under_way < LEAST or not services.settings.sweep:
        services.send(store.rest(idle, again_after=None))
        return
    if at < known.distrusted_until:
        services.send(store.rest(idle, again_after=known.distrusted_until - at))
        return
    far = reach(ages, under_way, known)
    if far is None:
        services.send(store.rest(idle, again_after=interval))
        return
    if under_way > len(ages) and far == max(ages):
        far *= BEYOND
    early = 0.0 if known.offset_s is None else services.store.schedules.early_s
    start = at - far - (services.settings.clock_skew_s if known.offset_s is None else MARGIN_S - known.offset_s)
    end = at + services.settings.clock_skew_s if not early else at - early + (known.offset_s or 0.0)
    start = max(start, end - LONGEST_WINDOW_S)
    expected = _expected(services, replace(known, early_s=early, reach_s=far), under_way)
    young = max(early if start >= end else 0.0, expected.gap_s)
    if far < young:  # none has ended, or none for as long as it may have to wait for its sweep
        services.send(
            store.rest(replace(expected, pages=0, seconds=known.seconds), again_after=min(interval, young - far))
        )
        return
    began = time.monotonic()
    reading = Reading(
        services=services,
        known=expected,
        under_way=under_way,
        one_of=canaries(known, under_way),
        put_off_s=FIRST_SWEPT * (interval + expected.seconds),
        most_pages=OVERSPENT * under_way,
        ends=began + LONGEST_S,
    )
    store.begin(expected, at=at)
    fault = _read_all(reading, _slices(expected, start, end, [at - age for age in ages if age <= far]))
    learned = _learned(reading, at=at, window_s=min(end, at) - start, seconds=time.monotonic() - began)
    if fault is None:
        learned = replace(learned, broken=0)
        pause = max(SHORTEST_PAUSE_S, learned.gap_s - learned.seconds)
    else:
        learned = replace(learned, broken=known.broken + 1, reach_s=0.0)
        pause = _pause_after(fault, learned.broken, interval)
    services.send(store.rest(learned, again_after=0.0 if services.stopping.is_set() else pause))


def _expected(services: Services, known: Sweeping, under_way: int) -> Sweeping:
    """Return what is known, with how many pages and seconds this sweep may take, and how soon the next one follows."""
    pages = max(known.pages, math.ceil(under_way / known.page_size))
    limits = services.store.schedules.limits
    return replace(
        known, pages=pages, gap_s=gap(pages, under_way, known, limits), seconds=known.seconds or PAGE_S * pages
    )


def _slices(expected: Sweeping, start: float, end: float, begun: list[float]) -> list[tuple[float, float]]:
    """Cut a window into slices of about as many generations each, the youngest first: most of them end soon."""
    count = min(MOST_SLICES, max(1, expected.pages // SLICE_PAGES))
    ordered = sorted(begun)
    inner = {ordered[len(ordered) * number // count] for number in range(1, count)}
    edges = [start, *sorted(edge for edge in inner if start < edge < end), end]
    return list(pairwise(edges))[::-1]


def _read_all(reading: Reading, slices: list[tuple[float, float]]) -> ApiError | None:
    """Read the slices, some at once; return what broke it off."""
    with ThreadPoolExecutor(min(AT_ONCE, len(slices)), thread_name_prefix="sweep") as pool:
        faults = list(pool.map(lambda window: _read(reading, *window), slices))
    return next((fault for fault in faults if fault is not None), None)


def _read(reading: Reading, start: float, end: float) -> ApiError | None:
    try:
        for asked_at, page in _pages(reading, start, end):
            _take_in(reading, page, asked_at)
    except ApiError as error:
        event("sweep.broken", f"{error}; single looks go on", warn=True)
        reading.ends = 0.0  # for the other slices, too
        return error
    return None


def _pages(reading: Reading, start: float, end: float) -> Iterator[tuple[float, list[type_json]]]:
    services = reading.services
    pages = services.photogpt.pages_between(start, end, most=max(1, int(reading.most_pages)))
    while not reading.over:
        wait = services.store.sweeps.permit()
        if wait > 0:
            time.sleep(min(wait, 1.0))
            continue
        asked_at = services.store.clock()
        page = next(pages, None)
        if page is None:
            return
        yield asked_at, page


def _take_in(reading: Reading, page: list[type_json], asked_at: float) -> None:
    with reading.lock:
        reading.pages += 1
        reading.entries += len(page)
        reading.page_size = max(reading.page_size, len(page))
    for begin in range(0, len(page), CHUNK):
        chunk = page[begin : begin + CHUNK]
        entries = [_entry(reading, shown) for shown in chunk]
        with reading.lock:
            own = max(0, 1 + reading.entries // OWN - reading.own)
        swept = reading.services.store.sweeps.page(entries, asked_at=asked_at, put_off_s=reading.put_off_s, own=own)
        reading.services.send(swept.wakes)
        _note(reading, replace(swept, own=own - swept.own), chunk)
        _mark_running(reading, swept.running)


def _entry(reading: Reading, shown: type_json) -> Entry:
    name, status = str(shown["jobId"]), str(shown.get("status", "")).strip().lower()
    if status in {"success", "failed"}:
        return Entry(name, "ended", between(shown.get("createdAt"), shown.get("updatedAt")))
    if status not in UNFINISHED or is_canary(name, reading.one_of):
        return Entry(name, "see")
    return Entry(name, "working" if status == "running" else "put off")


def _note(reading: Reading, swept: Swept, chunk: list[type_json]) -> None:
    with reading.lock:
        reading.confirmed += swept.confirmed
        reading.own += swept.own
        reading.lag_s = max(reading.lag_s, swept.lag_s)
        if swept.submitted_at is None or (created := epoch_told(chunk[swept.place].get("createdAt"))) is None:
            return
        offset = created - swept.submitted_at
        reading.offset_s = offset if reading.offset_s is None else min(offset, reading.offset_s)


def _mark_running(reading: Reading, ids: list[str]) -> None:
    """Write down that PhotoGPT works on some jobs; nobody has looked at them singly."""
    services = reading.services
    for job_id in ids:
        job = services.store.jobs.get(job_id)
        if job is not None and job.state is JobState.SUBMITTED:
            told = services.messages.progress(job, JobState.RUNNING, job.generation_id)
            left = max(0.0, job.deadline_at - services.store.clock())
            wakes = services.store.jobs.running(job, look_after=min(reading.put_off_s, left), told=told)
            services.send(wakes or [])


def _learned(reading: Reading, *, at: float, window_s: float, seconds: float) -> Sweeping:
    known, whole = reading.known, not reading.over
    density = reading.entries / max(window_s, 1.0)
    learned = replace(
        known,
        page_size=reading.page_size or known.page_size,
        density=density if whole else max(density, known.density or 0.0),
        offset_s=reading.offset_s if reading.offset_s is not None else known.offset_s,
        confirmed=known.confirmed + reading.confirmed,
        pages=reading.pages,
        seconds=seconds,
        gap_s=gap(reading.pages, reading.under_way, known, reading.services.store.schedules.limits),
    )
    if not reading.lag_s:
        return learned
    wait = distrust_s(known.distrusts + 1)
    event(
        "sweep.distrusted",
        f"PhotoGPT's list of jobs shows as under way what had ended {reading.lag_s:.1f} s before; "
        f"not used for {wait:.0f} s",
        warn=True,
    )
    return replace(learned, distrusts=known.distrusts + 1, distrusted_until=at + wait, confirmed=0, reach_s=0.0)


def _pause_after(fault: ApiError, broken: int, interval: float) -> float:
    """Return the seconds until a sweep is tried again, after so many in a row have broken off."""
    wait: float = min(LONGEST_WAIT_S, interval * 2 ** min(broken - 1, 10))
    wait = max(wait, KEY_CHECK_S) if isinstance(fault, Unauthorized) else wait
    return max(wait, min(fault.retry_after or 0.0, LONGEST_WAIT_S))
