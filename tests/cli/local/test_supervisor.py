"""The supervisor of the processes of a local service."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.waiting import wait_until
from worker.cli.local import supervisor
from worker.cli.local.processes import Child
from worker.cli.local.supervisor import Stage, Supervisor

WAITS = [sys.executable, "-c", "import signal; signal.pause()"]


def restart_until(running: Supervisor, found: Callable[[], bool], what: str) -> None:
    """Let the supervisor restart services until a condition is true."""

    def restarted() -> bool:
        running.restart_dead()
        return found()

    wait_until(restarted, what)


def test_restart_delays_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that dies repeatedly restarts after growing delays, and each restart is reported."""
    monkeypatch.setattr(supervisor, "MIN_RESTART_S", 0.01)
    reports: list[str] = []
    running = Supervisor(reports.append)
    running.add("weak", Stage.WORKERS, lambda: Child("weak", [sys.executable, "-c", "raise SystemExit(7)"]))
    try:
        restart_until(running, lambda: sum("ended with exit code 7" in line for line in reports) >= 3, "three deaths")
    finally:
        running.stop()
    waits = [line for line in reports if "it restarts in" in line]
    assert waits[0].endswith("in 0.01 s")
    assert waits[1].endswith("in 0.02 s")


def test_a_service_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that cannot start is reported and tried again."""
    monkeypatch.setattr(supervisor, "MIN_RESTART_S", 0.01)
    reports: list[str] = []
    running = Supervisor(reports.append)
    starts = iter([Child("part", [sys.executable, "-c", ""])])

    def start() -> Child:
        try:
            return next(starts)
        except StopIteration:
            raise RuntimeError("no more of them") from None

    running.add("part", Stage.REDIS, start)
    restart_until(
        running, lambda: any("does not start: no more" in line for line in reports), "the failure is reported"
    )
    running.stop()


def test_stages_stop_in_reverse(tmp_path: Path) -> None:
    """Services stop in the reverse order of their stages, and a second stop does nothing."""
    order = tmp_path / "order"
    code = "import signal, sys; signal.signal(15, lambda *_: (open(sys.argv[1], 'a').write(sys.argv[2]), exit(0)));"
    code += "print('on', flush=True); signal.pause()"
    running = Supervisor(print)
    for stage, name in ((Stage.REDIS, "r"), (Stage.WORKERS, "w"), (Stage.FLOWER, "f")):
        argv = [sys.executable, "-c", code, str(order), name]
        running.add(name, stage, lambda argv=argv, name=name: Child(name, argv, log=tmp_path / name))  # type: ignore[misc]
        wait_until(lambda name=name: "on" in (tmp_path / name).read_text(), "it is ready")  # type: ignore[misc]
    running.stop()
    running.stop()
    assert order.read_text() == "fwr"


def test_kill() -> None:
    """Supervisor.kill ends every service with SIGKILL."""
    running = Supervisor(print)
    child = running.add("part", Stage.WORKERS, lambda: Child("part", WAITS))
    assert running.child("part") is child
    running.kill()
    running.stop()
    assert child.exit_code == -9


def test_an_interrupt_during_a_start() -> None:
    """A signal that comes while a process starts is raised after the process is known, so that `stop` ends it."""
    running = Supervisor(print)

    def start() -> Child:
        running.interrupt()
        return Child("part", WAITS)

    with pytest.raises(KeyboardInterrupt):
        running.add("part", Stage.WORKERS, start)
    child = running.child("part")
    running.stop()
    assert child.exit_code is not None
