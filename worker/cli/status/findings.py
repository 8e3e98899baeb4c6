"""Decides what is wrong with the service: problems, which make it unhealthy, and warnings. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker import __version__
from worker.cli.output import counted
from worker.cli.queries import no_worker
from worker.domain.lane import Lane
from worker.domain.reason import Reason
from worker.store.fleet import FleetState
from worker.store.server import MAX_CLOCK_OFFSET_S
from worker.store.workers import version_of

MAX_OVERDUE_S = 60.0
"""A due member that waits for longer is a problem; workers claim within a second."""

MAX_UNRESOLVED_S = 300.0
"""An unresolved trigger is searched in PhotoGPT's list of jobs, which takes a minute or two."""


LOSS_SHOWN_S = 3600.0
"""How long after it was noticed a loss of data is a problem; the alert clears then, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What was read."""

    fleet: FleetState
    #: Seconds by which Redis' clock is ahead of this machine's.
    clock_offset_s: float
    #: Why Redis cannot be used, although it answers.
    redis_fault: str | None
    #: What is wrong with the broker, a sentence each.
    broker: Sequence[str]
    #: Endpoints by state.
    endpoints: dict[str, int]
    #: Delayed jobs by reason and error.
    delays: dict[tuple[str, str], int]
    #: Why jobs wait for the storage of files, one for each of a sample.
    storage_errors: Sequence[str]
    #: Messages in the broker that no worker has taken; None if it does not answer.
    waiting: int | None

    @property
    def api_key_rejected(self) -> bool:
        """Whether jobs wait because PhotoGPT rejects the API key."""
        return any(reason == Reason.UNAUTHORIZED for reason, _ in self.delays)

    def delayed(self, *reasons: Reason) -> int:
        """Return how many jobs wait for one of the reasons."""
        return sum(jobs for (reason, _), jobs in self.delays.items() if reason in reasons)


def problems(facts: Facts) -> list[str]:
    """Return one sentence for each problem, with what to do."""
    return [*_servers(facts), *_workers(facts), *_photogpt(facts), *_storage(facts)]


def _servers(facts: Facts) -> Iterator[str]:
    if facts.redis_fault:
        yield f"Redis answers, but cannot be used: {facts.redis_fault}"
    loss = facts.fleet.data_loss
    if loss and facts.fleet.at < loss.noticed_at + LOSS_SHOWN_S:
        yield str(loss)
    yield from facts.broker
    if abs(facts.clock_offset_s) > MAX_CLOCK_OFFSET_S:
        side = "ahead of" if facts.clock_offset_s > 0 else "behind"
        yield f"Redis' clock is {duration(abs(facts.clock_offset_s))} {side} this machine's; set both by NTP"


def _workers(facts: Facts) -> Iterator[str]:
    missing = no_worker(facts.fleet)
    if missing:
        due, known = sum(lane.due for lane in facts.fleet.lanes.values()), facts.waiting is not None
        waiting = counted((facts.waiting or 0) + facts.fleet.inbox_entries, "message waits", "messages wait")
        unknown = "" if known else "; what waits in the broker is unknown"
        yield f"{missing}. {counted(due, 'job or webhook is', 'jobs and webhooks are')} due, and {waiting}{unknown}"
        return
    if facts.fleet.inbox_oldest_s > MAX_OVERDUE_S:
        age = duration(facts.fleet.inbox_oldest_s)
        jobs = counted(facts.fleet.inbox_entries, "job waits", "jobs wait")
        yield f"inbox: {jobs}, the oldest for {age}; restart the workers"
    for lane, state in facts.fleet.lanes.items():
        waits_for_storage = lane is Lane.FILES and facts.storage_errors
        if state.oldest_overdue_s > MAX_OVERDUE_S and not state.paused_s and not waits_for_storage:
            items, age = counted(state.due, "item is", "items are"), duration(state.oldest_overdue_s)
            yield (
                f"lane {lane}: {items} due, the oldest for {age}; add workers, or restart the workers if none claims"
            )


def _photogpt(facts: Facts) -> Iterator[str]:
    if facts.api_key_rejected:
        waiting = counted(facts.delayed(Reason.UNAUTHORIZED), "job waits", "jobs wait")
        yield (
            f"PhotoGPT rejects the API key; at least {waiting}, none fails: set PHOTOGPT_API_KEY to a valid key and "
            "restart the workers"
        )
    unavailable = facts.delayed(Reason.UNAVAILABLE)
    if unavailable and 2 * unavailable >= sum(facts.delays.values()):
        error = next(error for reason, error in facts.delays if reason == Reason.UNAVAILABLE)
        jobs = counted(unavailable, "job is", "jobs are")
        yield f"PhotoGPT does not answer as it should; at least {jobs} polled again: {error}"
    if facts.fleet.unresolved_oldest_s > MAX_UNRESOLVED_S:
        yield (
            f"{counted(facts.fleet.unresolved, 'trigger is', 'triggers are')} unresolved, the oldest for "
            f"{duration(facts.fleet.unresolved_oldest_s)}; what is unresolved may have been paid for"
        )


def _storage(facts: Facts) -> Iterator[str]:
    if facts.storage_errors:
        error, _ = Counter(facts.storage_errors).most_common(1)[0]
        jobs = counted(facts.fleet.lanes[Lane.FILES].members, "job waits for its files", "jobs wait for their files")
        yield f"no file can be stored; {jobs}, none fails: {error}; try photogpt-worker ping"


def warnings(facts: Facts) -> list[str]:
    """Return one sentence for each thing to know that makes the service not unhealthy."""
    fleet, endpoints = facts.fleet, facts.endpoints
    paused = [f"{lane} for {duration(state.paused_s)}" for lane, state in fleet.lanes.items() if state.paused_s]
    settling = fleet.unresolved if fleet.unresolved_oldest_s <= MAX_UNRESOLVED_S else 0
    rows = (
        (len(paused), "lane is", "lanes are", f"paused: {', '.join(paused)}"),
        (settling, "trigger has", "triggers have", "no known answer yet; PhotoGPT's list of jobs is searched"),
        (fleet.webhooks_dead, "webhook is", "webhooks are", "dead: photogpt-worker webhooks list --state dead"),
        (
            endpoints.get("circuit_open", 0),
            "endpoint has",
            "endpoints have",
            "an open circuit: photogpt-worker webhooks endpoints",
        ),
        (
            endpoints.get("disabled", 0),
            "endpoint is",
            "endpoints are",
            "disabled: photogpt-worker webhooks endpoints --disabled",
        ),
        (fleet.messages_rejected, "message was", "messages were", "rejected: photogpt-worker rejected"),
    )
    return [*_versions(facts), *(f"{counted(count, one, more)} {text}" for count, one, more, text in rows if count)]


def _versions(facts: Facts) -> Iterator[str]:
    """Yield a sentence if workers run another version than this command; it may read what they write wrongly."""
    found = Counter(version for name in facts.fleet.running_workers if (version := version_of(name)))
    if set(found) - {__version__}:
        workers = ", ".join(f"{version} ({count})" for version, count in sorted(found.items()))
        yield f"workers run {workers}, and this command is {__version__}; replace the older: ops/docs/upgrading.md"


def duration(seconds: float) -> str:
    """Return a length of time for people: 4.2 s, 12 min, 3.5 h, 2 days."""
    for limit, size, unit in ((100, 1, "s"), (100 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds / 86_400:.0f} days"
