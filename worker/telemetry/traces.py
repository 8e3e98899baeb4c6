"""Traces: one for each job, from its producer's message to its webhooks. Off unless PHOTOGPT_OTLP_ENDPOINT is set.

A trace's context is the text of W3C's `traceparent`. It is stored with the job and with each webhook, so any worker
goes on with the trace, also after a kill. A span is short and closed: it covers one message, one request or one
attempt, never a wait. What happens more than ten minutes after a job's acceptance begins a trace of its own with a link
to the first, because few tracing systems show a trace that lasts for hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from config.settings import Settings
from worker.telemetry.spans import Attributes, NoSpan, Span, SpanKind, Tracer
from worker.telemetry.trace_context import current_parent, in_trace

OFF: AbstractContextManager[Span] = nullcontext(NoSpan())
_tracer: Tracer | None = None


class TracingUnavailable(Exception):
    """Tracing is set, and its packages are not installed."""


def start(settings: Settings) -> None:
    """Export spans from now on, if the settings say where.

    Raises:
        TracingUnavailable: the packages of the extra `otel` are not installed.
    """
    global _tracer  # noqa: PLW0603 - one per process
    if settings.otlp_endpoint is None or _tracer is not None:
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
        return OFF
    return _inside(_tracer.span(name, kind, attributes or {}, current_parent(), start))


@contextmanager
def _inside(made: AbstractContextManager[Span]) -> Iterator[Span]:
    """Make a span the parent of those that begin inside of it."""
    with made as active, in_trace(active.traceparent):
        yield active
