"""Look every pinned dependency up in PyPI's advisories: `python ops/audit.py`. Part of `make check`.

Exit code 1: one of them is known to be vulnerable. Where PyPI's advisories cannot be reached (a mirror, no network),
nothing was audited; that is said aloud and is no failure, for a check that is red without a network gets switched off.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PINS = Path(__file__).parent.parent / "constraints.txt"
ARGS = ("-r", str(PINS), "--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")


def main() -> int:
    """Audit, tell, and return the exit code."""
    ran = subprocess.run([sys.executable, "-m", "pip_audit", *ARGS], capture_output=True, text=True, check=False)
    try:
        found: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"NOT AUDITED: {ran.stderr.strip().splitlines()[-1] if ran.stderr else 'pip-audit said nothing'}")
        return 0
    audited = [entry for entry in found if "vulns" in entry]
    bad = [entry for entry in audited if entry["vulns"]]
    for entry in bad:
        names = ", ".join(advisory["id"] for advisory in entry["vulns"])
        print(f"{entry['name']} {entry['version']} is vulnerable: {names}")
    if not audited:
        print(f"NOT AUDITED: PyPI's advisories cannot be reached from here ({len(found)} pins)")
    else:
        print(f"{len(audited)} of {len(found)} pins audited, {len(bad)} vulnerable")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
