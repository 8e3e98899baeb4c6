"""Whether to read the list of jobs instead of looking at each: pure arithmetic over what was learned of that list.

GET /jobs shows the states of a page of generations at once, but not their outputs; page size, order and lag are not
documented (photogpt/api.md, section 14). So they are learned, and correctness never depends on them: what a sweep shows
as ended gets a look of its own, what it shows as under way is put off for a while, what it does not show is looked at
singly as always.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from worker.domain.poll_schedule import Limits

MIN_IN_FLIGHT = 4  # jobs under way; below it, nobody asks whether a sweep would be cheaper
WORTH_IT = 0.8  # a sweep must cost at most this part of the single looks that it saves
PAGE_SIZE = 20.0  # believed until a page was seen
PAGES_PER_S = 2.0  # that may be spent on noticing sooner than at the interval
SETTLING = 8  # confirmations by canaries after which fewer of them are sent, and a list is used to be sooner
SAMPLES, FEW_SAMPLES = 200, 400  # one of so many generations is looked at singly, whatever the list says
MIN_SAMPLES, MIN_SETTLED_SAMPLES, MAX_SAMPLES = 3, 1, 64  # under way at once, give or take; the fewest once settled
OWN = 200  # of so many entries one may get a look of its own because it is older than most
STALE_S = 0.5  # a list may lag this much; one that lags more is not used
SUSPEND_S, MAX_SUSPEND_S = 60.0, 3600.0  # for how long, doubling with every time


@dataclass(frozen=True, kw_only=True, slots=True)
class ListPollState:
    """What was learned of the list of jobs. Times are epoch seconds by Redis' clock."""

    id: str
    #: Entries of the longest page.
    page_size: float = PAGE_SIZE
    #: Entries listed for each second of a window; other users' and ended ones among them. None: not known yet.
    density: float | None = None
    #: PhotoGPT's clock when it created a generation, less ours when we had its answer. None: not known yet.
    offset_s: float | None = None
    #: How often a look of its own and the list agreed that a generation had ended.
    confirmed: int = 0
    suspended_until: float = 0.0
    suspensions: int = 0
    #: Sweeps in a row that broke off.
    broken: int = 0
    #: Age from which the last sweep read, seconds: younger ones do not end.
    min_duration_s: float = 0.0
    #: Age up to which the last sweep read, or the next one will, seconds; 0: single looks were cheaper.
    window_s: float = 0.0
    #: Pages that the last sweep read; 0 if there was none: single looks were cheaper, or all were too young.
    pages: int = 0
    seconds: float = 0.0
    #: Seconds from the begin of this sweep to that of the next.
    gap_s: float = 0.0
    at: float = 0.0


def choose_window(ages: Sequence[float], under_way: int, known: ListPollState) -> float | None:
    """Return the age up to which a sweep is worth its pages, seconds, or None if single looks cost less.

    Within one interval a generation costs one look of its own, or its share of the pages that show the window in which
    it was created; old ones lie far apart, so they are left to single looks.

    Args:
        ages: of some generations under way, drawn at random; seconds.
        under_way: how many there are.
        known: of the list.
    """
    if under_way < MIN_IN_FLIGHT or not ages:
        return None
    ordered = sorted(ages)
    each = under_way / len(ordered)
    density = known.density if known.density is not None else under_way / max(ordered[-1], 1.0)
    best, cost = None, WORTH_IT * under_way
    for number, age in enumerate(ordered, start=1):
        pages = math.ceil(density * age / known.page_size) + 1
        total = pages + (len(ordered) - number) * each
        if total < cost:
            best, cost = age, total
    return best


def gap(pages: float, under_way: int, known: ListPollState, limits: Limits) -> float:
    """Return the seconds from the begin of one sweep to that of the next.

    Sweeps may cost what single looks at the fixed interval would, times the effort, and a few pages a second: so those
    are seen often of whom few are under way, and a crowd at the interval. So is all that a list shows which was not yet
    seen to be right.

    Args:
        pages: of one sweep.
        under_way: generations that it shows.
        known: of the list.
        limits: of looks at one generation.
    """
    if known.confirmed < SETTLING:
        return limits.interval_s
    fair = limits.interval_s * pages / (WORTH_IT * max(under_way, 1))
    return min(limits.interval_s, max(limits.floor_s, fair / limits.effort, pages / (PAGES_PER_S * limits.effort)))


def sample_every(known: ListPollState, under_way: int) -> int:
    """Return of how many generations one is a canary."""
    settled = known.confirmed >= SETTLING
    usual, least = (FEW_SAMPLES, MIN_SETTLED_SAMPLES) if settled else (SAMPLES, MIN_SAMPLES)
    return max(min(usual, under_way // least), under_way // MAX_SAMPLES, 1)


def is_control_sample(generation_id: str, sample_every: int) -> bool:
    """Whether a generation is looked at singly although the list shows it: so that a list that lies is found out."""
    return crc32(generation_id.encode()) % sample_every == 0


def suspend_s(times: int) -> float:
    """Return for how long a list is not used that was found stale `times` times."""
    wait: float = SUSPEND_S * 2 ** min(times - 1, 10)
    return min(MAX_SUSPEND_S, wait)
