"""The store: the classes that read and write Redis, opened together over one client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.domain.delivery import BodyOptions
from worker.domain.poll_schedule import Limits
from worker.store.batches import Batches
from worker.store.clock import ServerClock
from worker.store.connection import connect
from worker.store.deliveries import Deliveries
from worker.store.delivery_history import DeliveryHistory
from worker.store.durations import PollLimits, Schedules
from worker.store.endpoints import EndpointLimits, Endpoints
from worker.store.files import Files
from worker.store.fleet import ANSWER_MARGIN_S, Fleet
from worker.store.generations import Generations
from worker.store.inbox import Inbox
from worker.store.job_history import JobHistory
from worker.store.jobs import Jobs
from worker.store.keys import Keys
from worker.store.lanes import Caps, Lanes
from worker.store.list_poll import ListPolls
from worker.store.records import Retention
from worker.store.rejected import Rejected
from worker.store.scripts import Scripts
from worker.store.server import Server
from worker.store.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from worker.store.lanes import Tick


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """Everything that is stored in Redis."""

    _client: Any
    keys: Keys
    scripts: Scripts
    clock: ServerClock
    jobs: Jobs
    job_history: JobHistory
    inbox: Inbox
    generations: Generations
    deliveries: Deliveries
    delivery_history: DeliveryHistory
    endpoints: Endpoints
    lanes: Lanes
    server: Server
    schedules: Schedules
    list_polls: ListPolls
    rejected: Rejected
    files: Files
    batches: Batches
    fleet: Fleet
    workers: Workers

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def ping(self) -> bool:
        """Whether Redis answers."""
        return bool(self._client.ping())

    def load_scripts(self) -> None:
        """Load all scripts into the server. Not needed, but it saves the first call of each two round trips."""
        self.scripts.load(self._client)

    def check_writes(self) -> None:
        """Write a key that needs memory; raises the error with which Redis refuses that."""
        self._client.set(self.keys.probe, "", ex=60)


def bodies_of(settings: Settings) -> BodyOptions:
    """Return how webhook bodies are written, by the settings."""
    return BodyOptions(
        thin=settings.webhook_body == "thin",
        max_bytes=settings.webhook_max_bytes,
        outcome_url=settings.webhook_outcome_url,
        outcome_key=Keys(settings.namespace).job("{id}"),
    )


def poll_limits(settings: Settings) -> PollLimits:
    """Return between which limits jobs are polled, by the settings."""
    jobs = settings.job_poll_interval_s, settings.job_poll_floor_s, settings.job_poll_ceiling_s
    models = settings.model_poll_interval_s, settings.model_poll_floor_s, settings.model_poll_ceiling_s
    return PollLimits(generations=_limits(settings, *jobs), trainings=_limits(settings, *models))


def _limits(settings: Settings, interval_s: float, floor_s: float, ceiling_s: float) -> Limits:
    if settings.schedule == "fixed":
        return Limits(interval_s, interval_s, interval_s)
    return Limits(interval_s, min(floor_s, interval_s), max(ceiling_s, interval_s))


def open_store(settings: Settings, publish_tick: Callable[[Tick], None], *, retries: int = 3) -> Store:
    """Return the store. Connections open when they are needed.

    Args:
        settings: of the process.
        publish_tick: sends a tick message; it must not raise when the broker is unavailable.
        retries: of a command whose answer was lost.
    """
    client, keys = connect(settings, retries=retries), Keys(settings.namespace)
    clock = ServerClock(client)
    scripts = Scripts(client, keys, max_countdown_s=settings.max_countdown_s)
    caps = Caps(active=settings.max_active, requests_per_s=settings.max_requests_per_s)
    limits, retention, bodies = _endpoint_limits(settings), _retention(settings), bodies_of(settings)
    return Store(
        _client=client,
        keys=keys,
        scripts=scripts,
        clock=clock,
        jobs=Jobs(client, scripts, publish_tick, retention=retention, caps=caps, clock=clock, bodies=bodies),
        job_history=JobHistory(client, scripts),
        inbox=Inbox(client, keys),
        generations=Generations(client, keys),
        deliveries=Deliveries(client, scripts, publish_tick, retention=retention, endpoint_limits=limits),
        delivery_history=DeliveryHistory(client, keys),
        endpoints=Endpoints(client, scripts, publish_tick, retention=retention, endpoint_limits=limits),
        files=Files(
            client,
            scripts,
            publish_tick,
            retention=retention,
            deadline_s=settings.outputs_deadline_s,
            clock=clock,
            bodies=bodies,
        ),
        rejected=Rejected(client, keys, clock),
        batches=Batches(scripts, clock, retention),
        fleet=Fleet(
            scripts,
            requests_per_s=settings.max_requests_per_s,
            unresolved_after_s=settings.api_call_deadline_s + ANSWER_MARGIN_S,
        ),
        workers=Workers(client, scripts),
        lanes=Lanes(client, scripts, publish_tick, caps=caps, clock=clock),
        server=Server(client, scripts),
        schedules=Schedules(client, keys, clock, limits=poll_limits(settings), learned=settings.schedule == "learned"),
        list_polls=ListPolls(client, scripts, publish_tick, requests_per_s=settings.max_requests_per_s),
    )


def _retention(settings: Settings) -> Retention:
    return Retention(
        record_s=settings.retention_s,
        idempotency_s=settings.idempotency_ttl_s,
        events_max_length=settings.events_max_length,
    )


def _endpoint_limits(settings: Settings) -> EndpointLimits:
    return EndpointLimits(
        in_flight=settings.webhook_max_in_flight,
        per_s=settings.webhook_max_per_s,
        deadline_s=settings.webhook_deadline_s,
        disable_after_s=settings.webhook_disable_after_s,
        history_max=settings.webhook_history_max,
    )
