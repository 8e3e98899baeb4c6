"""Hooks of pytest: which tests run, and what a log shows of them."""

from __future__ import annotations

import inspect
import os
from collections import defaultdict
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.parts import MISSING

WIDTH = 26
INSTALL = "as root on Debian: sh ops/install-test-parts"

SLOW = (
    "tests/integration/api_faults/test_list_polls.py",
    "tests/cli/local/test_up.py",
    "tests/integration/shutdown/test_signals.py",
    "tests/integration/crash/test_kill.py",
    "tests/integration/redis_faults",
    "tests/bench",
    "tests/chaos",
    "tests/integration",
    "tests/cli/local",
    "tests/contract/test_guard_battery.py",
    "tests/acceptance",
    "tests/contract/test_guard.py",
    "tests/cli",
    "tests/property",
    "tests/browser",
    "tests/sandbox",
    "tests/alerts",
)
"""Files that take a minute or more, then folders of files that take half a minute. They run first, in this order, so
that no process ends long after the others: a process takes whole files."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests first. Skip those marked `long` unless `LONG=1`; no other skips where every part is installed."""
    items.sort(key=_place)
    if os.environ.get("LONG") == "1":
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; runs with LONG=1"))


def _place(item: pytest.Item) -> int:
    """Return the place of a test's file in the order of the run."""
    return next((place for place, path in enumerate(SLOW) if item.nodeid.startswith(path)), len(SLOW))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print the sentence of a failed test below its traceback."""
    report = yield
    sentence = inspect.getdoc(item.obj) if isinstance(item, pytest.Function) else None
    if report.failed and sentence:
        report.sections.append(("this test shows", sentence))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the guard refused, and which tests could not run because the machine lacks a part."""
    _print_refused(terminalreporter)
    skipped = terminalreporter.stats.get("skipped", [])
    line = not_run((report.nodeid.partition("::")[0], report.longrepr[2]) for report in skipped)
    if line is None:
        return
    terminalreporter.write_line(line, red=True, bold=True)
    if path := os.environ.get("NOT_RUN_FILE"):
        Path(path).write_text(f"{line}\n", encoding="utf-8")


def not_run(skipped: Iterable[tuple[str, str]]) -> str | None:
    """Return one line about the tests that a missing part has kept from running, or None without such tests.

    Args:
        skipped: file of each skipped test, and why it was skipped.
    """
    found = [(reason.partition(MISSING)[2], file) for file, reason in skipped if MISSING in reason]
    if not found:
        return None
    files: defaultdict[str, set[str]] = defaultdict(set)
    for why, file in found:
        files[why].add(file)
    parts = "; ".join(f"{why} ({', '.join(sorted(files[why]))})" for why in sorted(files))
    return f"NOT RUN, {len(found)} tests: {parts}. Install what is missing, {INSTALL}"


def _print_refused(terminalreporter: Any) -> None:
    """Print the kinds of addresses that tests/contract/test_guard_battery.py tried and the guard refused."""
    tricks: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", ()):
            if name == "refused" and getattr(report, "when", "") == "call":
                trick, address, connected = value
                tricks[trick].append((address, connected))
    if not tricks:
        return
    terminalreporter.section("webhooks: tricks refused")
    terminalreporter.write_line(f"{'trick':<{WIDTH}} {'tried':>5} {'refused':>7} {'connected':>9}  for example")
    for trick, tried in sorted(tricks.items()):
        connected = sum(count for _, count in tried)
        example = min((address for address, _ in tried), key=lambda address: (len(address), address))
        terminalreporter.write_line(f"{trick:<{WIDTH}} {len(tried):>5} {len(tried):>7} {connected:>9}  {example}")
