"""The trace that a thread is in, as the text of W3C's `traceparent`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass

MAX_TRACE_S = 600.0

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Parent:
    """The span under which further spans begin."""

    #: Its context.
    traceparent: str
    #: It is so old that a span begins a trace of its own, with a link.
    is_old: bool = False


UNCHANGED = nullcontext()
"""What steps enter while there is no trace; a context of their own would cost more than the rest of a span."""

_parent: ContextVar[Parent | None] = ContextVar("parent", default=None)


def read_traceparent(value: object) -> str | None:
    """Return the `traceparent` of a message, or None if it is none."""
    return value if isinstance(value, str) and TRACEPARENT.fullmatch(value) else None


def in_trace(traceparent: str | None, *, age_s: float = 0) -> AbstractContextManager[None]:
    """Begin spans under a stored context.

    Args:
        traceparent: the context; None for none.
        age_s: how long ago it was stored, seconds.
    """
    if traceparent is None and _parent.get() is None:
        return UNCHANGED
    return _within(Parent(traceparent, is_old=age_s > MAX_TRACE_S) if traceparent else None)


@contextmanager
def _within(parent: Parent | None) -> Iterator[None]:
    token = _parent.set(parent)
    try:
        yield
    finally:
        _parent.reset(token)


def current_parent() -> Parent | None:
    """Return the span under which further spans begin."""
    return _parent.get()


def current_traceparent() -> str | None:
    """Return the context of the current span, to send it with a request or a message."""
    parent = _parent.get()
    return parent.traceparent if parent else None


def current_trace_id() -> str | None:
    """Return the id of the current trace, for the log."""
    parent = _parent.get()
    return parent.traceparent.split("-")[1] if parent else None
