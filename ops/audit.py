"""Look up every pinned dependency in PyPI's advisories: `python ops/audit.py`. Part of `make check`.

The exit code is 1 when a pinned version is known to be vulnerable. Where PyPI's advisories cannot be reached (a mirror,
no network), the script prints NOT AUDITED and the exit code is 0, so that `make check` can pass without a network.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PINS = Path(__file__).parent.parent / "constraints.txt"
ARGS = ("-r", str(PINS), "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")
TIMEOUT_S = 60


def audit() -> list[dict[str, Any]]:
    """Run pip-audit and return an entry per pinned package.

    Raises:
        ValueError: pip-audit did not answer within TIMEOUT_S, or printed no report; the message is its last line.
    """
    command = [sys.executable, "-m", "pip_audit", *ARGS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ValueError(f"pip-audit did not end within {TIMEOUT_S} s") from None
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last_line = (done.stderr.strip().splitlines() or ["pip-audit printed nothing"])[-1]
        raise ValueError(last_line) from None
    return found


def main() -> int:
    """Audit the pins, print the findings, and return the exit code."""
    try:
        found = audit()
    except ValueError as error:
        print(f"NOT AUDITED: {error}")
        return 0
    audited = [entry for entry in found if "vulns" in entry]
    vulnerable = [entry for entry in audited if entry["vulns"]]
    for entry in vulnerable:
        names = ", ".join(advisory["id"] for advisory in entry["vulns"])
        print(f"{entry['name']} {entry['version']} is vulnerable: {names}")
    if not audited:
        print(f"NOT AUDITED: PyPI's advisories cannot be reached from here ({len(found)} pins)")
    else:
        print(f"{len(audited)} of {len(found)} pins audited, {len(vulnerable)} vulnerable")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
