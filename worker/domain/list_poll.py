"""When to poll PhotoGPT's list of jobs instead of each job: pure arithmetic over what is known of that list.

One page of GET /jobs shows the states of many generations, but not their outputs; page size, order and lag are not
documented (photogpt/api.md, section 14). So they are measured, and correctness never depends on them: a generation that the list
shows as ended is polled singly, one that it shows as under way is not polled singly for a while, and one that it does not
show is polled as without a list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from worker.domain.poll_schedule import Limits

MIN_IN_FLIGHT = 4  # generations; below it single polls are cheaper
MAX_COST = 0.8  # of a list poll, as a part of the single polls that it saves
PAGE_SIZE = 20.0  # assumed until a page was read
MAX_PAGES_PER_S = 2.0  # for being earlier than the interval
SETTLED = 8  # confirmed ends; from then on fewer control samples are polled, and the list is polled more often
SAMPLES, FEW_SAMPLES = 200, 400  # one in so many generations is a control sample
MIN_SAMPLES, MIN_SETTLED_SAMPLES, MAX_SAMPLES = 3, 1, 64  # control samples in flight, about
ENTRIES_PER_OLD_JOB = 200  # of so many listed entries one job older than its p95 is polled singly
STALE_S = 0.5  # a list may lag this much; one that lags more is suspended
SUSPEND_S, MAX_SUSPEND_S = 60.0, 3600.0  # doubling with every suspension
PERIODS = 1.3  # a list poll shows a new job within so many intervals; a poll of its own comes later


@dataclass(frozen=True, kw_only=True, slots=True)
class ListPollState:
    """What is known of PhotoGPT's list of jobs. Times are epoch seconds by Redis' clock."""

    id: str
    #: Entries of the longest page.
    page_size: float = PAGE_SIZE
    #: Entries listed per second of a window, those of other users included. None: not known yet.
    density: float | None = None
    #: PhotoGPT's clock when it created a generation, minus Redis' when its answer arrived. None: not known yet.
    clock_offset_s: float | None = None
    #: Ends that a single poll and the list agreed on.
    confirmed: int = 0
    suspended_until: float = 0.0
    suspensions: int = 0
    #: List polls in a row that failed.
    failures: int = 0
    #: Age at which the last window began, seconds; younger generations do not end.
    min_duration_s: float = 0.0
    #: Age at which the last or the next window ends, seconds; 0: single polls are cheaper.
    window_s: float = 0.0
    #: Pages of the last list poll; 0: there was none, since single polls were cheaper or every job was too young.
    pages: int = 0
    #: Duration of the last list poll.
    seconds: float = 0.0
    #: Seconds from the start of a list poll to the start of the next.
    interval_s: float = 0.0
    #: Start of the last list poll.
    at: float = 0.0


def choose_window(ages: Sequence[float], in_flight: int, state: ListPollState) -> float | None:
    """Return the age up to which a list poll costs less than single polls, in seconds, or None.

    In one interval a generation costs one single poll, or its share of the pages of the window in which it was created.
    Old generations lie far apart in the list, so they are cheaper to poll singly.

    Args:
        ages: of a random sample of the generations in flight, seconds.
        in_flight: generations.
        state: of the list.
    """
    if in_flight < MIN_IN_FLIGHT or not ages:
        return None
    ordered = sorted(ages)
    weight = in_flight / len(ordered)
    density = state.density if state.density is not None else in_flight / max(ordered[-1], 1.0)
    best, min_cost = None, MAX_COST * in_flight
    for number, age in enumerate(ordered, start=1):
        pages = math.ceil(density * age / state.page_size) + 1
        cost = pages + (len(ordered) - number) * weight
        if cost < min_cost:
            best, min_cost = age, cost
    return best


def list_interval(pages: float, in_flight: int, state: ListPollState, limits: Limits) -> float:
    """Return the seconds from the start of one list poll to the start of the next.

    List polls may cost what single polls at the fixed interval would, times the budget, and a few pages a second: so a
    few jobs are listed often, and many at the interval. A list that is not confirmed yet is polled at the interval.

    Args:
        pages: of one list poll.
        in_flight: generations that it shows.
        state: of the list.
        limits: of the polls of one generation.
    """
    if state.confirmed < SETTLED:
        return limits.interval_s
    fair = limits.interval_s * pages / (MAX_COST * max(in_flight, 1))
    return min(limits.interval_s, max(limits.floor_s, fair / limits.budget, pages / (MAX_PAGES_PER_S * limits.budget)))


def sample_every(state: ListPollState, in_flight: int) -> int:
    """Return of how many generations one is a control sample."""
    settled = state.confirmed >= SETTLED
    usual, minimum = (FEW_SAMPLES, MIN_SETTLED_SAMPLES) if settled else (SAMPLES, MIN_SAMPLES)
    return max(min(usual, in_flight // minimum), in_flight // MAX_SAMPLES, 1)


def is_control_sample(generation_id: str, every: int) -> bool:
    """Return whether a generation is polled singly although it is listed, to notice a list that is wrong."""
    return crc32(generation_id.encode()) % every == 0


def suspend_s(suspensions: int) -> float:
    """Return for how many seconds list polling stops after so many suspensions."""
    wait: float = SUSPEND_S * 2 ** min(suspensions - 1, 10)
    return min(MAX_SUSPEND_S, wait)


def single_poll_after(state: ListPollState, at: float, interval_s: float) -> float:
    """Return the age in seconds by which a list poll has shown a new generation; 0 without active list polling.

    Args:
        state: of the list.
        at: epoch seconds.
        interval_s: of single polls.
    """
    period = PERIODS * (interval_s + state.seconds)
    active = state.window_s and at - state.at < period
    return state.min_duration_s + period if active else 0.0
