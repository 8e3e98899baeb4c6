"""A small run of `make bench-webhooks`."""

from __future__ import annotations

import json
import subprocess
import sys


def test_every_stored_event_is_counted() -> None:
    """Every stored event is counted as arrived or late, with and without bad receivers, whatever its delay."""
    argv = ["--no-idle", "--good", "20", "--rate", "20", "--seconds", "1", "--settle", "30"]
    command = [sys.executable, "-m", "ops.bench.receivers", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    table, _, books = done.stdout.partition("{")
    good, both = json.loads("{" + books)["runs"]
    assert (good["name"], good["events"], good["late"]) == ("good", 20, 0)
    assert (both["name"], both["events"]) == ("all", 20)
    assert 0 <= both["late"] <= 20
    assert table.count("\n| ") == 2
