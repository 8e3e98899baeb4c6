"""What one check of the lane monitor does, and what it survives."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from celery import signals
from celery.worker import state
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

from tests.waiting import wait_until
from worker.domain.errors import SubmissionError
from worker.domain.lane import Lane
from worker.queue import app as app_module
from worker.queue import monitor, revocation
from worker.queue.monitor import LaneMonitor
from worker.queue.serialization import dumps
from worker.telemetry.health import Health
from worker.telemetry.outage import Outage


class Services:
    """Records what a check calls; `error` is raised by each call."""

    def __init__(self, *, list_polling: bool = True, members: dict[Lane, int] | None = None) -> None:
        """Start with nothing called; by default, a generation is in flight."""
        self.members = {Lane.JOBS: 2, Lane.LIST_POLLS: 0} | (members or {})
        self.calls: list[str] = []
        self.marked: list[str] = []
        self.error: Exception | None = None
        self.settings = SimpleNamespace(list_polling=list_polling, job_poll_interval_s=5.0, one_cpu=False)
        self.store: Any = SimpleNamespace(
            lanes=SimpleNamespace(ensure_ticks=self.ensure_ticks),
            workers=SimpleNamespace(mark=self.marked.append, forget=self.marked.remove),
            list_polls=SimpleNamespace(ensure_scheduled=lambda delay_s: self.call(f"list poll in {delay_s:g} s")),
            job_history=SimpleNamespace(continuations=self.continuations),
            load_scripts=lambda: None,
            check_writes=lambda: self.call("write"),
        )

    def continuations(self) -> list[tuple[str, str]]:
        """Return two stamped jobs."""
        options = {"stamped_headers": ["customer"], "customer": ["7", "8"]}
        return [("job-1", dumps({"options": options})), ("job-2", dumps({"options": {}}))]

    def ensure_ticks(self, **_: Any) -> dict[Lane, int]:
        """Return the members of the lanes that matter here."""
        self.call("ticks")
        return self.members

    def call(self, name: str) -> None:
        """Record a call."""
        self.calls.append(name)
        if self.error:
            raise self.error


def cancel(services: Any, job_id: str, *, revoked: bool) -> None:
    """Record a canceled job; an id of another service has none."""
    assert revoked
    if job_id.startswith("other"):
        raise SubmissionError(field="job_id", problem="unknown")
    services.call(job_id)


@pytest.fixture(autouse=True)
def _revoked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(revocation, "cancel", cancel)
    yield
    state.reset_state()


def new_monitor(services: Services) -> tuple[LaneMonitor, Outage]:
    """Return a monitor that does not run, and what it knows of an outage."""
    outage = Outage("redis.unavailable", "redis.recovered", message="Redis is unavailable", recovered="Redis is back")
    watched: Any = services
    return LaneMonitor(watched, outage, "worker-1"), outage


@pytest.mark.parametrize(
    ("list_polling", "members", "calls"),
    [
        (True, {}, ["ticks", "list poll in 3 s"]),
        (True, {Lane.JOBS: 1}, ["ticks"]),
        (True, {Lane.LIST_POLLS: 1}, ["ticks"]),
        (False, {}, ["ticks"]),
    ],
)
def test_a_check_publishes_missing_ticks(list_polling: bool, members: dict[Lane, int], calls: list[str]) -> None:
    """A check publishes missing tick messages, and schedules a list poll if generations need one that has none."""
    services = Services(list_polling=list_polling, members=members)
    new_monitor(services)[0].check()
    assert services.calls == calls


def test_a_revoked_job_is_canceled_once() -> None:
    """A job whose task was revoked is canceled by the next check and no later one; other ids are ignored."""
    services = Services(list_polling=False)
    checked, _ = new_monitor(services)
    state.revoked.update(["job-1", "other-1"])
    checked.check()
    checked.check()
    state.revoked.add("job-2")
    checked.check()
    assert services.calls == ["ticks", "job-1", "ticks", "ticks", "job-2"]


def test_a_job_accepted_after_the_check_is_canceled_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id without a job is checked once more, since its message may be accepted while it is revoked."""
    services = Services(list_polling=False)
    checked, _ = new_monitor(services)
    state.revoked.add("other-1")
    checked.check()
    monkeypatch.setattr(revocation, "cancel", lambda services, job_id, **_: services.call(job_id))
    checked.check()
    checked.check()
    assert services.calls == ["ticks", "ticks", "other-1", "ticks"]


def test_a_revoked_stamp_cancels_its_jobs() -> None:
    """A stamp that was revoked cancels the jobs that have it; two checks search for them."""
    services = Services(list_polling=False)
    checked, _ = new_monitor(services)
    revoked_stamps: Any = state.revoked_stamps
    revoked_stamps["customer"] = ["8", "9"]
    for _ in range(3):
        checked.check()
    assert services.calls == ["ticks", "job-1", "ticks", "job-1", "ticks"]


def test_an_outage_ends_with_an_accepted_write() -> None:
    """After an outage, a Redis that answers reads and refuses writes is still unavailable."""
    services = Services(list_polling=False)
    checked, outage = new_monitor(services)
    services.error = RedisConnectionError("refused")
    checked.check()
    assert outage.active
    services.error = None
    services.store.check_writes = lambda: (_ for _ in ()).throw(ReadOnlyError("a replica"))
    checked.check()
    assert outage.active
    services.store.check_writes = lambda: services.call("write")
    checked.check()
    assert services.calls[-1] == "write"
    assert not outage.active


def test_an_unexpected_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error in a check is logged with its traceback, and the next check runs."""
    services = Services(list_polling=False)
    checked, outage = new_monitor(services)
    services.error = ValueError("a fault of ours")
    checked.check()
    services.error = None
    checked.check()
    assert services.calls == ["ticks", "ticks"]
    assert not outage.active
    (record,) = caplog.records
    assert (vars(record)["event"], bool(record.exc_info)) == ("lane_monitor.failed", True)


def test_a_started_monitor_checks_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor checks again and again, also while Celery sends no heartbeat, and its thread ends after `stop`."""
    monkeypatch.setattr(monitor, "MAX_WAIT_S", 0.001)
    services = Services(list_polling=False)
    running, _ = new_monitor(services)
    running.start()
    wait_until(lambda: len(services.calls) > 2, "three checks")
    running.stop()
    wait_until(lambda: not running._thread.is_alive(), "the thread has ended")


def test_a_check_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check marks the worker as running and reports the loop; only a Redis that answers is reported as such."""
    health = Health(lambda: 100.0)
    monkeypatch.setattr(monitor, "health", health)
    health.started = health.consuming = True
    services = Services(list_polling=False)
    checked, _ = new_monitor(services)
    services.error = RedisConnectionError("refused")
    checked.check()
    assert (services.marked, health.unready() != []) == ([], True)
    services.error = None
    checked.check()
    assert (services.marked, health.unready()) == (["worker-1"], [])


def has_checked(services: Services, checks: int) -> bool:
    """Whether the monitor has checked as often as that, and no more."""
    return services.calls == ["ticks"] * checks


def test_a_heartbeat_starts_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor checks each time that Celery sends a heartbeat, and ends when the worker stops."""
    monkeypatch.setattr(monitor, "MAX_WAIT_S", 3600.0)
    services = Services(list_polling=False)
    woken, _ = new_monitor(services)
    monkeypatch.setattr(app_module, "_monitors", (woken,))
    woken.start()
    for checks in (2, 3):  # the first one is that of the start
        signals.heartbeat_sent.send(sender=None)
        wait_until(partial(has_checked, services, checks), f"{checks} checks")
    woken.finish()
    assert not woken._thread.is_alive()
