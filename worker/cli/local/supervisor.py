"""Starts the processes of one local service in order, restarts those that die, and stops them in reverse order."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from worker.cli.local.processes import Child
from worker.domain.backoff import exponential

MIN_RESTART_S, MAX_RESTART_S = 0.5, 30.0
"""Delay between the death of a process and its restart."""

STABLE_S = 60.0
"""A process that ran for this long restarts after MIN_RESTART_S."""


class Stage(IntEnum):
    """The order in which processes start; they stop in the reverse order."""

    REDIS = 1
    SANDBOX = 2
    WORKERS = 3
    FLOWER = 4


@dataclass(kw_only=True)
class Service:
    """One supervised process."""

    name: str
    stage: Stage
    start: Callable[[], Child]
    child: Child
    started: float = field(default_factory=time.monotonic)
    #: Deaths in a row.
    deaths: int = 0
    #: When it restarts (monotonic seconds), if it is dead.
    restart_at: float | None = None


class Supervisor:
    """Runs services. Call every method in the main thread: a child dies with the thread that started it."""

    def __init__(self, report: Callable[[str], None]) -> None:
        """Pass one sentence to `report` whenever a process dies or restarts."""
        self._report = report
        self._services: list[Service] = []
        self._starting = False
        self._interrupted = False

    def add(self, name: str, stage: Stage, start: Callable[[], Child]) -> Child:
        """Start a service and supervise it from now on."""
        with self._uninterrupted():
            child = start()
            self._services.append(Service(name=name, stage=stage, start=start, child=child))
        return child

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt now, or once the process that is just being started is known. For signal handlers."""
        if not self._starting:
            raise KeyboardInterrupt
        self._interrupted = True

    @contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """Let no signal separate the start of a process from its entry in the list: `stop` would miss it."""
        self._starting = True
        try:
            yield
        finally:
            self._starting = False
        if self._interrupted:
            raise KeyboardInterrupt

    def child(self, name: str) -> Child:
        """Return the present process of a service."""
        return next(service.child for service in self._services if service.name == name)

    def pids(self) -> dict[str, int]:
        """Return the process ids by name."""
        return {service.name: service.child.pid for service in self._services}

    def restart_dead(self) -> None:
        """Schedule a restart for every service that died, and restart those that are due."""
        now = time.monotonic()
        for service in self._services:
            if service.restart_at is not None:
                if now >= service.restart_at:
                    self._restart(service)
            elif service.child.exit_code is not None:
                self._schedule_restart(service, now)

    def stop(self) -> None:
        """Stop every service, stage by stage in reverse order. A second call does nothing."""
        for stage in sorted(Stage, reverse=True):
            services = [service for service in self._services if service.stage is stage]
            for service in services:
                service.child.send_signal(signal.SIGTERM)
            for service in services:
                service.child.stop()
        self._services.clear()

    def kill(self) -> None:
        """Kill every process at once. Call `stop` afterwards to collect them."""
        for service in self._services:
            service.child.send_signal(signal.SIGKILL)

    def _schedule_restart(self, service: Service, now: float) -> None:
        service.deaths = 1 if now - service.started > STABLE_S else service.deaths + 1
        wait = exponential(service.deaths, base=MIN_RESTART_S, cap=MAX_RESTART_S, random_fraction=1)
        service.restart_at = now + wait
        log = f"; its log is {service.child.log}" if service.child.log else ""
        self._report(f"{service.name} {_describe(service.child.exit_code)}; it restarts in {wait:g} s{log}")

    def _restart(self, service: Service) -> None:
        service.started, service.restart_at = time.monotonic(), None
        try:
            with self._uninterrupted():
                service.child = service.start()
        except (OSError, RuntimeError) as error:
            self._report(f"{service.name} does not start: {error}")
            self._schedule_restart(service, service.started)
        else:
            self._report(f"{service.name} runs again, process {service.child.pid}")


def _describe(code: int | None) -> str:
    if code is None:
        return "did not start"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
