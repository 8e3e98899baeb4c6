"""Draws the dashboard from Prometheus' answers, as one SVG: `python -m ops.monitoring.picture URL FILE --minutes 5`.

For documents, and for places without Grafana. Grafana draws the same panels from the same queries.
"""

from __future__ import annotations

import argparse
import json
import math
import textwrap
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ops.monitoring.panels import ROWS, Panel

WIDTH, HEIGHT, GAP, HEAD = 400, 190, 14, 30
ACROSS = 3
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 28, 42
POINTS = 120
MAX_CURVES, MAX_NAMED = 12, 5
COLOURS = ("#2f81f7", "#d9822b", "#2da44e", "#cf222e", "#8250df", "#bf3989", "#1b7c83", "#9a6700")
STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#57606a}.row{font-size:15px;font-weight:600;fill:#24292f}"
    ".title{font-size:12px;font-weight:600;fill:#24292f}.panel{fill:#fff;stroke:#d0d7de}.grid{stroke:#eaeef2}"
)
UNITS = {"s": " s", "reqps": "/s", "ops": "/s"}

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve of a panel."""

    name: str
    points: list[Point]

    @property
    def top(self) -> float:
        """The highest value."""
        return max(value for _, value in self.points)


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is shown, epoch seconds."""

    start: float
    end: float

    @property
    def step(self) -> float:
        """Seconds between two points."""
        return max(1.0, (self.end - self.start) / POINTS)


def curves(url: str, panel: Panel, span: Span) -> list[Curve]:
    """Return the curves of a panel, as Prometheus answers its queries. Values that are no numbers are left out."""
    found = []
    for query in panel.queries:
        expr = query.expr.replace("$__rate_interval", f"{max(15, 2 * span.step):.0f}s")
        for series in _ask(url, expr, span):
            points = [(at, float(text)) for at, text in series["values"] if math.isfinite(float(text))]
            if points:
                found.append(Curve(_legend(query.legend, series["metric"]), points))
    return found


def _ask(url: str, expr: str, span: Span) -> list[Any]:
    query = urllib.parse.urlencode({"query": expr, "start": span.start, "end": span.end, "step": span.step})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{query}", timeout=30) as answer:  # noqa: S310 - given by the user
        found: list[Any] = json.load(answer)["data"]["result"]
        return found


def _legend(template: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        template = template.replace(f"{{{{{name}}}}}", value)
    return template


def picture(url: str, span: Span, note: str) -> str:
    """Return the dashboard as SVG, with a note below it."""
    parts, y = [], float(GAP)
    for row in ROWS:
        parts.append(f'<text class="row" x="{GAP}" y="{y + 18}">{escape(row.title)}</text>')
        y += HEAD
        for first in range(0, len(row.panels), ACROSS):
            for column, panel in enumerate(row.panels[first : first + ACROSS]):
                x = GAP + column * (WIDTH + GAP)
                parts.append(f'<g transform="translate({x},{y:g})">{_draw(panel, curves(url, panel, span), span)}</g>')
            y += HEIGHT + GAP
    for line in textwrap.wrap(note, 190):
        parts.append(f'<text x="{GAP}" y="{y + 12:g}">{escape(line)}</text>')
        y += 16
    width = GAP + ACROSS * (WIDTH + GAP)
    size = f'viewBox="0 0 {width} {y + 26:g}" width="{width}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>The dashboard of photogpt-worker</title>'
    background = '<rect width="100%" height="100%" fill="#f6f8fa"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", background, *parts, "</svg>"]) + "\n"


def _draw(panel: Panel, found: Sequence[Curve], span: Span) -> str:
    shown = sorted(found, key=lambda curve: -curve.top)
    shown = [curve for curve in shown if curve.top > 0][:MAX_CURVES] or shown[:1]
    top = max((curve.top for curve in shown), default=0) or 1.0
    parts = [f'<rect class="panel" width="{WIDTH}" height="{HEIGHT}" rx="4"/>']
    parts.append(f'<text class="title" x="10" y="18">{escape(panel.title)}</text>')
    for share in (0.0, 0.5, 1.0):
        y = _y(share)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:g}" y2="{y:g}"/>')
        label = f"{share * top:.3g}{UNITS.get(panel.unit, '')}"
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:g}" text-anchor="end">{label}</text>')
    for number, curve in enumerate(shown):
        path = " ".join(f"{_x(at, span):.0f},{_y(value / top):.0f}" for at, value in curve.points)
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return "".join([*parts, *_names(shown)])


def _names(shown: Sequence[Curve]) -> list[str]:
    """Return the names of the highest curves, on two lines."""
    parts, x, y = [], float(LEFT), HEIGHT - 22
    for number, curve in enumerate(shown[:MAX_NAMED]):
        width = 18 + 6.6 * len(curve.name)
        if x > LEFT and x + width > WIDTH - RIGHT:
            x, y = float(LEFT), y + 15
        if y > HEIGHT:
            break
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{x:.0f}" y="{y - 8}" width="9" height="9" rx="2" fill="{colour}"/>')
        parts.append(f'<text x="{x + 13:.0f}" y="{y}">{escape(curve.name)}</text>')
        x += width
    return parts


def _x(at: float, span: Span) -> float:
    return LEFT + (at - span.start) / (span.end - span.start) * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def main() -> None:
    """Draw the last minutes of a running Prometheus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of Prometheus, such as http://127.0.0.1:9090")
    parser.add_argument("file", type=Path, help="the SVG to write")
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    now = time.time()
    span = Span(now - 60 * options.minutes, now)
    note = f"Drawn from Prometheus' answers: {options.minutes:g} minutes until {time.strftime('%Y-%m-%d %H:%M')}."
    options.file.write_text(picture(options.url.rstrip("/"), span, note), encoding="utf-8")


if __name__ == "__main__":
    main()
