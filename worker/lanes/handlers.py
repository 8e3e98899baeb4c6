"""The table of lanes: which step runs for an item of a lane, how its record is read, and how long a step may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from config.settings import Settings
from worker.domain.decision import Decision
from worker.domain.lane import Lane
from worker.services import Services
from worker.steps.deliver import deliver
from worker.steps.list_poll import MAX_SECONDS, list_poll
from worker.steps.poll import poll
from worker.steps.publish import resend_result
from worker.steps.store_files import CONCURRENCY, max_step_s, store_files
from worker.steps.trigger import trigger
from worker.store import codec, deliveries
from worker.store import list_poll as list_poll_store
from worker.store.keys import Keys


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """How the hash of a claimed item is read."""

    #: Returns the hash's key, given the item's id.
    key: Callable[[Keys, str], str]
    fields: tuple[str, ...]
    #: Makes the item from the values of the fields.
    decode: Callable[[list[str | None]], Any]


@dataclass(frozen=True, slots=True)
class LaneHandler:
    """What the lane runner does with the items of one lane."""

    record: RecordFormat
    #: Called with the services, the item and Redis' time. A decision is applied; None needs nothing more.
    step: Callable[[Services, Any, float], Decision | None]
    #: Seconds that a step may take; the lease is longer by a margin.
    max_step_s: Callable[[Settings], float]
    #: Steps at once in one process; None: PHOTOGPT_CALL_CONCURRENCY.
    concurrency: int | None = None


JOB = RecordFormat(Keys.job, codec.FIELDS, codec.decode)
DELIVERY = RecordFormat(Keys.delivery, deliveries.FIELDS, deliveries.decode)
LIST_POLL = RecordFormat(Keys.list_poll, list_poll_store.FIELDS, list_poll_store.decode)


MAX_RESEND_S = 10.0  # to send one message


def _api_deadline_s(settings: Settings) -> float:
    return settings.api_call_deadline_s


def _webhook_deadline_s(settings: Settings) -> float:
    return settings.webhook_deadline_s


LANE_HANDLERS: dict[Lane, LaneHandler] = {
    Lane.TRIGGERS: LaneHandler(JOB, trigger, _api_deadline_s),
    Lane.JOBS: LaneHandler(JOB, poll, _api_deadline_s),
    Lane.MODELS: LaneHandler(JOB, poll, _api_deadline_s),
    Lane.LIST_POLLS: LaneHandler(LIST_POLL, list_poll, lambda _: MAX_SECONDS),
    Lane.RESULTS: LaneHandler(JOB, resend_result, lambda _: MAX_RESEND_S),
    Lane.DELIVERIES: LaneHandler(DELIVERY, deliver, _webhook_deadline_s),
    Lane.REDELIVERIES: LaneHandler(DELIVERY, deliver, _webhook_deadline_s),
    Lane.FILES: LaneHandler(JOB, store_files, max_step_s, CONCURRENCY),
}
