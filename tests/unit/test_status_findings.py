"""What `photogpt-worker status` counts as a problem, and what as a warning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from worker import __version__
from worker.cli.status.findings import Facts, duration, problems, warnings
from worker.domain.data_loss import DataLoss
from worker.domain.lane import Lane
from worker.domain.reason import Reason
from worker.store.fleet import FleetState, LaneState

IDLE = LaneState(members=0, due=0, workable=0, oldest_overdue_s=0, last_tick_at=0, paused_s=0)
FLEET = FleetState(
    at=1000,
    lanes=dict.fromkeys(Lane, IDLE),
    queued=0,
    admitted=0,
    unresolved=0,
    unresolved_oldest_s=0,
    webhooks_dead=0,
    messages_rejected=0,
    inbox_entries=0,
    inbox_oldest_s=0,
    workers={"here": 0.5},
    data_since=900,
    data_loss=None,
    totals={},
)
HEALTHY = Facts(
    fleet=FLEET,
    clock_offset_s=0.1,
    redis_fault=None,
    broker=(),
    endpoints={"healthy": 3},
    delays={},
    storage_errors=(),
    waiting=0,
)
LOSS = DataLoss(noticed_at=-3000, last_seen_at=0, complete=True, restored_to=None, in_flight=3)
LATE = replace(IDLE, members=9, due=7, oldest_overdue_s=90)
PAUSED = replace(LATE, paused_s=30)
KEY = {(Reason.UNAUTHORIZED.value, "no"): 2}
OUTAGE = {(Reason.UNAVAILABLE.value, "HTTP 503"): 3}
ONE_TIMEOUT = {(Reason.UNAVAILABLE.value, "timeout"): 1, (Reason.RATE_LIMITED.value, "429"): 5}


def fleet(**changes: Any) -> Facts:
    """Return healthy facts but for some fields of the fleet."""
    return replace(HEALTHY, fleet=replace(FLEET, **changes))


def lane(state: LaneState) -> Facts:
    """Return healthy facts but for the lane of jobs."""
    return fleet(lanes=FLEET.lanes | {Lane.JOBS: state})


def test_nothing_is_wrong() -> None:
    """A service in which nothing is wrong has neither problems nor warnings."""
    assert (problems(HEALTHY), warnings(HEALTHY)) == ([], [])


FILES_LATE = fleet(lanes=FLEET.lanes | {Lane.FILES: LATE})


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (fleet(workers={}), "no worker runs; start one"),
        (fleet(workers={"old": 700.0, "new": 70.0}), "no worker runs (new was seen last, 70 s ago)"),
        (replace(fleet(workers={}), waiting=None), "0 messages wait; what waits in the broker is unknown"),
        (
            fleet(data_loss=replace(LOSS, noticed_at=900)),
            "Redis has lost its data: what it stored before 1970",
        ),
        (lane(LATE), "lane jobs: 7 items are due, the oldest for 90 s"),
        (fleet(inbox_entries=3, inbox_oldest_s=61), "inbox: 3 jobs wait, the oldest for 61 s"),
        (fleet(unresolved=2, unresolved_oldest_s=400), "2 triggers are unresolved, the oldest for 6.7 min"),
        (replace(HEALTHY, delays=KEY), "PhotoGPT rejects the API key; at least 2 jobs wait, none fails"),
        (replace(HEALTHY, delays=OUTAGE), "at least 3 jobs are polled again: HTTP 503"),
        (replace(HEALTHY, clock_offset_s=-600.0), "Redis' clock is 10 min behind this machine's"),
        (replace(HEALTHY, redis_fault="OOM"), "Redis answers, but cannot be used: OOM"),
        (replace(FILES_LATE, storage_errors=["disk full"]), "9 jobs wait for their files, none fails: disk full"),
        (replace(HEALTHY, broker=["the broker does not answer"]), "the broker does not answer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_problems(facts: Facts, said: str) -> None:
    """Each fault that needs a person is one problem, whose sentence names the number and what is wrong."""
    (problem,) = problems(facts)
    assert said in problem


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (lane(PAUSED), "1 lane is paused: jobs for 30 s"),
        (fleet(unresolved=1, unresolved_oldest_s=40), "1 trigger has no known answer yet"),
        (fleet(workers={"a 1 v0.0.1": 1, "b 1 v0.0.1": 1, f"c 1 v{__version__}": 1}), "0.0.1 (2), "),
        (fleet(webhooks_dead=4), "4 webhooks are dead"),
        (fleet(messages_rejected=5), "5 messages were rejected"),
        (fleet(messages_rejected=1), "1 message was rejected"),
        (replace(HEALTHY, endpoints={"circuit_open": 2}), "2 endpoints have an open circuit"),
        (replace(HEALTHY, endpoints={"disabled": 1}), "1 endpoint is disabled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_warnings(facts: Facts, said: str) -> None:
    """What the service handles without a person is a warning and no problem."""
    assert problems(facts) == []
    (warning,) = warnings(facts)
    assert said in warning


def test_what_is_no_news() -> None:
    """A loss of data that is over an hour old, and workers of this version or one that has ended, are not mentioned."""
    facts = fleet(data_loss=LOSS, workers={f"a 1 v{__version__}": 1, "old 1 v0.0.1": 60})
    assert (problems(facts), warnings(facts)) == ([], [])


def test_one_timeout_is_no_outage() -> None:
    """A few jobs that wait for PhotoGPT's answer among many others are no problem."""
    assert problems(replace(HEALTHY, delays=ONE_TIMEOUT)) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.24, "4.2 s"), (60, "60 s"), (300, "5 min"), (9000, "2.5 h"), (2e5, "2 days")]
)
def test_duration(seconds: float, text: str) -> None:
    """A duration is written in the unit that a person would use."""
    assert duration(seconds) == text
