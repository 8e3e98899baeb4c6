"""Cause every fault in turn, and show which alerts fire and clear: `python -m tests.alerts.driver --scale 6`.

Everything is real: Prometheus with the rules of `ops/prometheus/alerts.yml`, workers, exporter, Valkey and a receiver.
The rules' durations are divided by `--scale`; with 1 the run takes about two hours. Above 8 other alerts may fire for
frozen workers, since the exporter notices their absence after 15 s only. Exits 1 if another alert fires than the one
that has to, or one does not clear.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.alerts.faults import FAULTS
from tests.alerts.stage import Stage
from tests.alerts.watch import Seen, watch
from tests.parts import find_program

MAX_WAIT_S = 3600.0
"""Of the slowest alert without a scale, with a margin."""


def main() -> int:
    """Run the faults and print a table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=6, help="divides the durations in the rules (6)")
    parser.add_argument("--only", action="append", choices=sorted(FAULTS), help="a fault; may be repeated")
    options = parser.parse_args()
    program = find_program("prometheus")
    if program is None:
        sys.exit("prometheus is not installed; as root on Debian: sh ops/install-test-parts")
    table = Table(
        "fault", "fires after, s", "clears after, s", "alerts", title=f"durations divided by {options.scale:g}"
    )
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        for name in options.only or FAULTS:
            seen = _run(Path(directory) / name.replace(" ", "-"), name, program, options.scale)
            wrong = isinstance(seen, str) or seen.fired != {FAULTS[name].alert}
            failed = failed or wrong
            table.add_row(name, *_cells(seen), style="red" if wrong else None)
            Console(stderr=True).print(name, *_cells(seen), sep=" | ")
    Console().print(table)
    return int(failed)


def _run(directory: Path, name: str, program: str, scale: float) -> Seen | str:
    directory.mkdir()
    try:
        with Stage(directory, prometheus=program, scale=scale) as stage:
            return watch(stage, FAULTS[name], within=90 + MAX_WAIT_S / scale)
    except AssertionError as error:
        return str(error)


def _cells(seen: Seen | str) -> tuple[str, str, str]:
    if isinstance(seen, str):
        return "", "", seen
    return f"{seen.fired_after_s:.1f}", f"{seen.cleared_after_s:.1f}", ", ".join(sorted(seen.fired))


if __name__ == "__main__":
    sys.exit(main())
