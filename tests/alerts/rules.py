"""The alert rules with shorter times, so that a test need not wait for minutes."""

from __future__ import annotations

import re
from typing import Any

import yaml

from ops.monitoring.files import ALERTS

UNITS = {"s": 1, "m": 60, "h": 3600}
DURATION = re.compile(r"(\d+)([smh])")
LATENESS = re.compile(r"(?<=[<>=] )(60|600|3600)\b")
MIN_LATENESS_S = 5.0
"""A service that is well may be late for a moment, so lateness that raises an alert is not scaled below this."""


def scaled_rules(scale: float) -> dict[str, Any]:
    """Return the rules with every duration divided by `scale`, one second at least."""
    rules: dict[str, Any] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        rule["for"] = _shorter(rule.get("for", "0s"), scale)
        expr = re.sub(r"\[(\w+)\]", lambda found: f"[{_shorter(found[1], scale, at_least_s=5)}]", rule["expr"])
        rule["expr"] = LATENESS.sub(lambda found: f"{max(MIN_LATENESS_S, int(found[1]) / scale):g}", expr)
    return rules


def _shorter(duration: str, scale: float, *, at_least_s: float = 0) -> str:
    seconds = sum(int(count) * UNITS[unit] for count, unit in DURATION.findall(duration)) / scale
    return f"{max(at_least_s, seconds) * 1000:.0f}ms"
