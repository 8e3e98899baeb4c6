"""Traces: one for each job, from its producer's message to its webhooks. Off unless PHOTOGPT_OTLP_ENDPOINT is set.

A trace's context is the text of W3C's `traceparent`. It is stored with the job and with each webhook, so any worker goes
on with the trace, also after a kill. A span is short and closed: it covers one message, one request or one attempt, never
a wait. What happens more than ten minutes after a job's acceptance begins a trace of its own with a link to the first,
because few tracing systems show a trace that lasts for hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from config.settings import Settings

MAX_TRACE_S = 600.0

Attributes = Mapping[str, str | int | float | bool]


TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class SpanKind(StrEnum):
    """The role of a span in a trace."""

    INTERNAL = "internal"
    CLIENT = "client"  # a request to another service
    CONSUMER = "consumer"  # a message that another process has sent


@dataclass(frozen=True, slots=True)
class Parent:
    """The span under which further spans begin."""

    #: Its context.
    traceparent: str
    #: It is so old that a span begins a trace of its own, with a link.
    is_old: bool = False


class Span(Protocol):
    """What a step may do with the span that it is in."""

    @property
    def traceparent(self) -> str | None:
        """The context of the span, to store or to send; None while tracing is off."""

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def fail(self, description: str) -> None:
        """Mark the span as failed, for an error that is not raised."""

    def end_at(self, at: float) -> None:
        """Set the time when the span ends, epoch seconds; without it the span ends now."""

    def discard(self) -> None:
        """Do not export the span."""


class NoSpan:
    """A span while tracing is off."""

    traceparent = None

    def set(self, attributes: Attributes) -> None:
        """Ignore attributes."""

    def fail(self, description: str) -> None:
        """Ignore a failure."""

    def end_at(self, at: float) -> None:
        """Ignore a time."""

    def discard(self) -> None:
        """Do nothing."""


class Tracer(Protocol):
    """Makes spans and exports them."""

    def span(
        self, name: str, kind: SpanKind, attributes: Attributes, parent: Parent | None, start: float | None
    ) -> AbstractContextManager[Span]:
        """Return a context that is one span. An error that leaves it marks the span as failed, and goes on."""

    def stop(self) -> None:
        """Export what is left, for a few seconds at most."""


NO_SPAN = NoSpan()
_parent: ContextVar[Parent | None] = ContextVar("parent", default=None)
_tracer: Tracer | None = None


class TracingUnavailable(Exception):
    """Tracing is set, and its packages are not installed."""


def start(settings: Settings) -> None:
    """Export spans from now on, if the settings say where.

    Raises:
        TracingUnavailable: the packages of the extra `otel` are not installed.
    """
    global _tracer  # noqa: PLW0603 - one per process
    if settings.otlp_endpoint is None:
        return
    try:
        from worker.telemetry.otel import OpenTelemetry  # noqa: PLC0415 - an extra, imported only where it is wanted
    except ImportError as error:
        raise TracingUnavailable(
            f"PHOTOGPT_OTLP_ENDPOINT is set, but {error.name} is not installed: pip install 'photogpt-worker[otel]'"
        ) from error
    _tracer = OpenTelemetry(settings.otlp_endpoint)


def stop() -> None:
    """Export what is left, and trace no more."""
    global _tracer  # noqa: PLW0603 - one per process
    if _tracer is not None:
        _tracer.stop()
        _tracer = None


def read_traceparent(value: object) -> str | None:
    """Return the `traceparent` of a message, or None if it is none."""
    return value if isinstance(value, str) and TRACEPARENT.fullmatch(value) else None


@contextmanager
def in_trace(traceparent: str | None, *, age_s: float = 0) -> Iterator[None]:
    """Begin spans under a stored context.

    Args:
        traceparent: the context; None for none.
        age_s: how long ago it was stored, seconds.
    """
    token = _parent.set(Parent(traceparent, is_old=age_s > MAX_TRACE_S) if traceparent else None)
    try:
        yield
    finally:
        _parent.reset(token)


def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    *,
    start: float | None = None,
) -> AbstractContextManager[Span]:
    """Return a context that is one span under the current one.

    Args:
        name: few different names, without ids.
        kind: its role.
        attributes: ids and numbers; never a secret, never a prompt.
        start: when it began, epoch seconds; now if None.
    """
    if _tracer is None:
        return nullcontext(NO_SPAN)
    return _inside(_tracer.span(name, kind, attributes or {}, _parent.get(), start))


@contextmanager
def _inside(made: AbstractContextManager[Span]) -> Iterator[Span]:
    """Make a span the parent of those that begin inside of it."""
    with made as active:
        token = _parent.set(Parent(active.traceparent) if active.traceparent else None)
        try:
            yield active
        finally:
            _parent.reset(token)


def current_traceparent() -> str | None:
    """Return the context of the current span, to send it with a request or a message."""
    parent = _parent.get()
    return parent.traceparent if parent else None


def current_trace_id() -> str | None:
    """Return the id of the current trace, for the log."""
    parent = _parent.get()
    return parent.traceparent.split("-")[1] if parent else None
