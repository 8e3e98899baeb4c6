"""Protocols of a span and of a tracer, so that a step works with tracing and without."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Protocol

from worker.telemetry.trace_context import Parent

Attributes = Mapping[str, str | int | float | bool]


class SpanKind(StrEnum):
    """The role of a span in a trace."""

    INTERNAL = "internal"
    CLIENT = "client"  # a request to another service
    CONSUMER = "consumer"  # a message that another process has sent


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
