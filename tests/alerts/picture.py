"""Make the picture of the dashboard: `python -m tests.alerts.picture ops/grafana/dashboard.svg`, five minutes.

A real Prometheus scrapes real workers and the exporter, while a producer enqueues jobs of every kind against the
sandbox. After 60 s the receiver refuses webhooks, after 130 s PhotoGPT limits requests, after 200 s one of two workers
is frozen, each for about 40 s.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from ops.monitoring.picture import Span, picture
from tests.alerts.faults import break_receiver, clear_faults, freeze_one_worker, repair_receiver, resume_workers
from tests.alerts.stage import Stage
from tests.parts import find_program

SECONDS = 300
THROTTLED = {"match": "getJobStatus", "probability": 0.3, "action": {"status": 429, "retry_after": 1}}
EVENTS = {
    60: break_receiver,
    100: repair_receiver,
    130: lambda stage: stage.sandbox.control.faults(THROTTLED),
    160: clear_faults,
    200: freeze_one_worker,
    240: resume_workers,
}
"""What happens after how many seconds."""


def main(path: Path) -> None:
    """Run the load, and draw what Prometheus has."""
    program = find_program("prometheus") or sys.exit("prometheus is not installed: sh ops/install-test-parts")
    with tempfile.TemporaryDirectory() as directory, Stage(Path(directory), prometheus=program, scale=1) as stage:
        start = time.time()
        _load(stage, random.Random(7))
        note = (
            f"Drawn on {time.strftime('%Y-%m-%d')} from the answers of a real Prometheus to the dashboard's queries: "
            "two workers and the sandbox for five minutes. At 1:00 the receiver refuses webhooks, at 2:10 PhotoGPT "
            "limits requests, at 3:20 one worker is frozen, each for about 40 s."
        )
        path.write_text(picture(stage.prometheus_url, Span(start, time.time()), note), encoding="utf-8")


def _load(stage: Stage, chance: random.Random) -> None:
    """Enqueue jobs of every kind for five minutes, with events in between."""
    stage.sandbox.control.model("a-model", duration_s=20)
    began, due = time.monotonic(), dict(EVENTS)
    stage.train("a-model")
    while (passed := time.monotonic() - began) < SECONDS:
        for at in [at for at in due if at <= passed]:
            due.pop(at)(stage)
        stage.send(chance.randint(0, 3), webhook_url=stage.receiver.url, duration_s=chance.lognormvariate(2.3, 0.5))
        if chance.random() < 0.3:
            stage.send(1, kind="video", duration_s=chance.lognormvariate(3, 0.4))
        if chance.random() < 0.05:
            stage.send(1, end="failed")
        time.sleep(chance.expovariate(1.2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
