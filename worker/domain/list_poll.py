"""When to poll PhotoGPT's list of jobs, and for how much of it. `ops/docs/polling.md` states the rules.

One page of GET /jobs shows the states of many generations, but not their outputs. Its page size, order and lag are not
documented (photogpt/api.md, section 14): page size and density are measured, order does not matter, lag is checked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

MIN_IN_FLIGHT = 2  # generations; fewer do not start list polling
FIRST_PART = 0.6  # of the interval of single polls: from the second generation to the first list poll
PAGE_SIZE = 20.0  # assumed until a page was read
PAGE_S = 0.1  # seconds to read a page, assumed until one was read
PAGE_VALUE_S = 1.0  # seconds of one job's delay that a page may save
QUIET_PART = 0.3  # of the interval of single polls: maximum between two list polls while no generation ends
MAX_CREDIT = 10.0  # pages beyond the next list poll; enough for the last generations of a group
SAMPLE_EVERY = 64  # one in so many generations is a control sample, polled singly although it is listed
MAX_SAMPLES = 256  # about so many at a time; with 100,000 in flight, one in 64 took half of all requests
STALE_S = 0.5  # a list may lag so much behind a single poll
SUSPEND_S = 300.0  # for which a list that was wrong is not used
SLICE_S, MIN_SLICE_PAGES, MAX_SLICES = 0.25, 5, 64  # of a window that takes long to read
DEFER_INTERVALS = 3  # for which a listed generation is not polled singly
REPEAT_INTERVALS = 1.5  # from one deferral to the next, while the list shows the generation


@dataclass(frozen=True, kw_only=True, slots=True)
class ListPollState:
    """What is known of PhotoGPT's list of jobs. Times are epoch seconds by Redis' clock."""

    id: str
    #: Entries of a full page; at least so many while the whole window fits on one.
    page_size: float = PAGE_SIZE
    #: Entries listed per second of a window, those of other users included.
    density: float = 0.0
    suspended_until: float = 0.0
    #: List polls in a row that failed.
    failures: int = 0
    #: Age of the oldest generation that the last list poll searched for, seconds; 0: list polling is not active.
    window_s: float = 0.0
    #: Pages and duration of the last list poll, and the mean duration of a request for a page.
    pages: int = 0
    seconds: float = 0.0
    page_s: float = PAGE_S
    #: Ends per second that the last list polls have found.
    ends_per_s: float = 0.0
    #: Seconds from the start of a list poll to the start of the next.
    interval_s: float = 0.0
    #: Pages that the budget allowed and that were not read.
    credit: float = 0.0
    #: End of the last list poll.
    at: float = 0.0


def earned_credit(state: ListPollState, in_flight: int, at: float, *, interval_s: float, budget: float) -> float:
    """Return the pages that may be read now: the budget since the last list poll, and what was left of it before."""
    if not state.window_s:
        return 0.0
    since_s = at - state.at + state.seconds
    return min(state.pages + MAX_CREDIT, state.credit + budget * in_flight / interval_s * since_s)


def choose_window(ages: Sequence[float], in_flight: int, state: ListPollState, budget: float) -> float | None:
    """Return the age up to which the list is read, in seconds; None if single polls cost less and no credit is left.

    Old generations lie far apart in the list, so it takes fewer requests to poll them singly. The same holds where
    pages are small. The last generation is listed while there is credit, to see it more often.

    Args:
        ages: of a random sample of the generations in flight, seconds.
        in_flight: generations.
        state: of the list, with its credit up to now.
        budget: pages that may be read, as a share of the single polls that they save.
    """
    ordered = sorted(ages)
    weight = in_flight / max(len(ordered), 1)
    best, min_requests = None, in_flight if in_flight > 1 else math.inf
    for number, age in enumerate(ordered, start=1):
        pages = expected_pages(number * weight, age, state)
        requests = pages + (len(ordered) - number) * weight
        if requests < min_requests and is_affordable(pages, number * weight, state.credit, budget):
            best, min_requests = age, requests
    return best


def slice_count(pages: int, page_s: float) -> int:
    """Return into how many slices a window is cut: each takes about `SLICE_S` to read, and has some pages.

    The last page of a slice is seldom full, so slices cost requests: 1,000 jobs, whose window has 20 pages of 50, took
    8 % more pages in four slices than in one.

    Args:
        pages: expected in the window.
        page_s: mean duration of a request for a page, seconds.
    """
    return max(1, min(MAX_SLICES, pages // MIN_SLICE_PAGES, round(pages * page_s / SLICE_S)))


def is_affordable(pages: int, in_flight: float, credit: float, budget: float) -> bool:
    """Return whether so many pages may be read for so many generations, instead of polling each of them."""
    return pages < budget * in_flight or pages <= credit


def expected_pages(in_flight: float, age: float, state: ListPollState) -> int:
    """Return how many pages show the last `age` seconds, in which `in_flight` of our generations were created."""
    entries = max(in_flight, (state.density or 0.0) * age)
    return max(1, round(entries / state.page_size))


def list_interval(  # noqa: PLR0913 - one formula
    pages: int, in_flight: int, ends_per_s: float, *, credit: float, interval_s: float, floor_s: float, budget: float
) -> float:
    """Return the seconds from the start of one list poll to the start of the next.

    With `ends_per_s` ends a second, an interval T costs pages / T requests and ends_per_s * T / 2 seconds of delay per
    second; their sum is least at the square root below. No interval is longer than that of single polls.

    Args:
        pages: of one list poll.
        in_flight: generations.
        ends_per_s: ends that the last list polls have found.
        credit: pages that may be read after this list poll; below 0 if it took more than there were.
        interval_s: of single polls.
        floor_s: minimum.
        budget: pages that may be read, as a share of the single polls that they save.
    """
    quiet_s = QUIET_PART * interval_s
    best_s = math.sqrt(2 * PAGE_VALUE_S * pages / ends_per_s) if ends_per_s else quiet_s
    wanted_s = max(min(quiet_s, best_s), (pages - credit) * interval_s / (budget * in_flight))
    return max(floor_s, min(wanted_s, interval_s))


def is_control_sample(generation_id: str, in_flight: int = 0) -> bool:
    """Return whether a generation is polled singly although it is listed, to notice a list that is wrong."""
    return crc32(generation_id.encode()) % max(SAMPLE_EVERY, in_flight // MAX_SAMPLES) == 0


def defer_s(interval_s: float) -> float:
    """Return for how many seconds a listed generation that has not ended is not polled singly."""
    return DEFER_INTERVALS * interval_s


def repeat_at(before_at: float, at: float, interval_s: float, random_fraction: float) -> float:
    """Return when a deferral that is sent now is sent again if the list still shows the generation, epoch seconds.

    The first time is between 1/2 and 2 intervals from now; later ones follow every 1.5 intervals. One random number for
    the entries of a page keeps them together in few scripts, and different pages apart: when 100,000 deferrals were
    repeated together, every fifth list poll took twice as long as the others.

    Args:
        before_at: when it should have been sent again, epoch seconds; 0 if it was not sent before.
        at: start of the list poll, epoch seconds.
        interval_s: of single polls.
        random_fraction: of the page, 0 to 1.
    """
    next_at = before_at + REPEAT_INTERVALS * interval_s
    return next_at if next_at > at else at + (0.5 + REPEAT_INTERVALS * random_fraction) * interval_s


def is_active(state: ListPollState | None, at: float, interval_s: float) -> bool:
    """Return whether new generations may wait for a list poll instead of a single poll."""
    return state is not None and state.window_s > 0 and at - state.at < max(interval_s, 2 * state.interval_s)
