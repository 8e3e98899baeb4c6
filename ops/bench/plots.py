"""Plots as small hand-written SVG files, readable on light and dark backgrounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ops.bench.plan import Run

COLOURS = {"ours": "#2f81f7", "obvious": "#d9822b", "vendor": "#8b949e", "bare": "#8b949e"}
NAMES = {"ours": "this", "obvious": "one task per job", "vendor": "vendor's loop", "bare": "bare loop"}
WIDTH, LEFT, RIGHT, TOP = 640, 130, 70, 40
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}.title{font-weight:600}.grid{stroke:#8b949e;stroke-opacity:.35}"
    "@media(prefers-color-scheme:dark){text{fill:#adbac7}}"
)

Point = tuple[float, float]


def bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    """Return horizontal bars, one for each design."""
    maximum, parts = max((value for _, value in values), default=1) or 1, []
    for number, (peer, value) in enumerate(values):
        y, width = TOP + 34 * number, (WIDTH - LEFT - RIGHT) * value / maximum
        parts += [
            f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(NAMES.get(peer, peer))}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="22" rx="3" fill="{COLOURS.get(peer, "#8b949e")}"/>',
            f'<text x="{LEFT + width + 8:.1f}" y="{y + 16}">{value:,.1f}</text>',
        ]
    return _svg(title, parts, TOP + 34 * len(values) + 6)


def lines(title: str, series: dict[str, list[Point]], *, limit: float, across: str) -> str:
    """Return lines over a logarithmic axis, with a dashed line at the limit; values above twice the limit are cut."""
    height, floor, top = 300, 250.0, 2 * limit
    xs = [x for points in series.values() for x, _ in points] or [1]
    low, high = math.log10(min(xs)), math.log10(max(xs)) or 1

    def place(point: Point) -> Point:
        share = (math.log10(point[0]) - low) / ((high - low) or 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT), floor - min(point[1] / top, 1) * (floor - TOP)

    edge = place((10**low, limit))[1]
    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>',
        f'<line class="grid" stroke-dasharray="5 4" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{edge:.1f}" y2="{edge:.1f}"/>',
        f'<text x="{LEFT - 10}" y="{edge + 4:.1f}" text-anchor="end">{limit:g} s</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 8}" text-anchor="middle">{escape(across)}</text>',
    ]
    parts += [
        f'<text x="{place((x, 0))[0]:.1f}" y="{floor + 18}" text-anchor="middle">{_short(x)}</text>'
        for x in sorted(set(xs))
    ]
    for peer, points in series.items():
        placed = [place(point) for point in sorted(points)]
        colour = COLOURS.get(peer, "#8b949e")
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in placed]
        if placed:
            x, y = placed[-1]
            parts.append(
                f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle">{escape(NAMES.get(peer, peer))}</text>'
            )
    return _svg(title, parts, height)


def draw(runs: Sequence[Run], cells: dict[str, list[tuple[str, float]]], limit: float) -> dict[str, str]:
    """Return the plots that the runs allow, by file name."""
    found = {
        name: bars(title, cells[name])
        for name, title in (
            ("cpu", "Worker CPU per finished job, ms (less is better)"),
            ("requests", "API requests per finished job (less is better)"),
        )
        if cells.get(name)
    }
    rungs: dict[str, list[Point]] = {}
    for run in runs:
        if run.measure == "ladder" and "delay_s" in run.numbers:
            rungs.setdefault(run.peer, []).append((run.parameters["jobs"], run.numbers["delay_s"]["p99"]))
    if rungs:
        title = "p99 delay, one worker process"
        found["ladder"] = lines(title, rungs, limit=limit, across="jobs in flight")
    return found


def _short(number: float) -> str:
    return f"{number / 1000:g}k" if number >= 1000 else f"{number:g}"


def _svg(title: str, parts: Sequence[str], height: int) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">'
    text = escape(title)
    named = [
        f"<title>{text}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="22">{text}</text>',
    ]
    return "\n".join([head, *named, *parts, "</svg>"]) + "\n"
