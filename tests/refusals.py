"""A table at the end of pytest's output: the tricks of tests/contract/test_guard_battery.py that were refused."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

WIDTH = 26


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print a line for each kind of trick."""
    tricks: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", ()):
            if name == "refused" and getattr(report, "when", "") == "call":
                trick, what, connected = value
                tricks[trick].append((what, connected))
    if not tricks:
        return
    terminalreporter.section("webhooks: tricks refused")
    terminalreporter.write_line(f"{'trick':<{WIDTH}} {'tried':>5} {'refused':>7} {'connected':>9}  for example")
    for trick, tried in sorted(tricks.items()):
        connected = sum(count for _, count in tried)
        example = min((what for what, _ in tried), key=lambda what: (len(what), what))
        terminalreporter.write_line(f"{trick:<{WIDTH}} {len(tried):>5} {len(tried):>7} {connected:>9}  {example}")
