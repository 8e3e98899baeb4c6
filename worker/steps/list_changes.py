"""Which entries of the list of jobs are sent to Redis: those that have changed, and those that have to be repeated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from worker.domain.durations import seconds_between
from worker.domain.job import JsonObject
from worker.domain.list_poll import is_control_sample, repeat_at
from worker.photogpt.client import UNFINISHED
from worker.store.list_poll import ListedGeneration

ENDED = frozenset({"success", "failed"})
CONFIRM_S = 1.0  # after which a listed end is sent again that the single poll has not confirmed; doubles each time


class Sent(NamedTuple):
    """What Redis was sent of one generation."""

    status: str
    #: When to send it again if the list still shows it, epoch seconds.
    again_at: float
    #: Of a listed end: seconds from one sending to the next; each time twice as long.
    wait_s: float


NOTHING = Sent("", 0.0, 0.0)

_sent_before: dict[str, Sent] = {}  # by generation; as the last complete list poll has left it


@dataclass
class ListChanges:
    """The changes that one list poll finds. The threads that read its slices share it."""

    #: Start of the list poll, epoch seconds.
    at: float
    #: Generations in flight.
    in_flight: int
    #: Seconds between two single polls.
    interval_s: float
    _sent: dict[str, Sent] = field(default_factory=dict)

    def entry(
        self, generation_id: str, status: str, listed: JsonObject, random_fraction: float
    ) -> ListedGeneration | None:
        """Return what has to be sent to Redis of a listed generation, or None; `random_fraction` is its page's."""
        before = _sent_before.get(generation_id, NOTHING)
        if before.status == status and self.at < before.again_at:
            self._sent[generation_id] = before
            return None
        wait_s = 0.0
        if status in ENDED:
            wait_s = 2 * before.wait_s if before.status in ENDED else CONFIRM_S
            again_at = self.at + wait_s
            seconds = seconds_between(listed.get("createdAt"), listed.get("updatedAt"))
            entry = ListedGeneration(generation_id, "ended", seconds)
        elif status in UNFINISHED and not is_control_sample(generation_id, self.in_flight):
            before_at = before.again_at if before.status == status else 0.0
            again_at = repeat_at(before_at, self.at, self.interval_s, random_fraction)
            entry = ListedGeneration(generation_id, status)
        else:  # a control sample, or a status that PhotoGPT's pages do not name: it is polled singly
            return None
        self._sent[generation_id] = Sent(status, again_at, wait_s)
        return entry

    def keep(self) -> None:
        """Let the next list poll know what was sent. Generations that this one has not shown are forgotten."""
        _sent_before.clear()
        _sent_before.update(self._sent)


def forget() -> None:
    """Let the next list poll send Redis everything once more."""
    _sent_before.clear()
