"""Spans over OpenTelemetry, exported as OTLP over HTTP. Imported only where tracing is on."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker import __version__
from worker.telemetry.outage import Outage
from worker.telemetry.spans import Attributes, SpanKind
from worker.telemetry.trace_context import Parent

EXPORT_TIMEOUT_S = 5
PATH = "/v1/traces"
NS = 1_000_000_000
KINDS = {
    SpanKind.INTERNAL: trace.SpanKind.INTERNAL,
    SpanKind.CLIENT: trace.SpanKind.CLIENT,
    SpanKind.CONSUMER: trace.SpanKind.CONSUMER,
}


class ActiveSpan:
    """A span that is under way."""

    def __init__(self, span: trace.Span) -> None:
        """Hold OpenTelemetry's span."""
        self._span = span
        self._end_ns: int | None = None
        self._discarded = False

    @property
    def traceparent(self) -> str:
        """The span's context; a span that is not sampled has one too."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(dict(attributes))

    def fail(self, description: str) -> None:
        """Mark the span as failed."""
        self._span.set_status(trace.StatusCode.ERROR, description)

    def end_at(self, at: float) -> None:
        """Set the time when the span ends, epoch seconds."""
        self._end_ns = int(at * NS)

    def discard(self) -> None:
        """Do not export the span: only a span that ends is exported."""
        self._discarded = True

    def end(self) -> None:
        """End the span."""
        if not self._discarded:
            self._span.end(self._end_ns)


class Exporter(SpanExporter):
    """Sends spans to the collector, and logs an outage of it as one."""

    def __init__(self, url: str) -> None:
        """Send to a URL. The library's own log would add lines for every batch that is lost."""
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S)
        self._outage = Outage(
            "traces.lost",
            "traces.recovered",
            message="the collector does not take spans, which are lost; jobs go on",
            recovered="the collector takes spans again",
        )
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._outage.resolve()
        else:
            self._outage.report(f"{len(spans)} spans")
        return result

    def shutdown(self) -> None:
        """Give up a batch that is being sent again."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing is kept here."""
        return self._exporter.force_flush(timeout_millis)


class OpenTelemetry:
    """Makes and exports spans. `OTEL_…` variables set sampling, resource, headers and queue sizes."""

    def __init__(self, endpoint: str) -> None:
        """Export to a collector.

        Args:
            endpoint: its URL, with or without `/v1/traces`.
        """
        own = Resource(
            {
                "service.name": "photogpt-worker",
                "service.version": __version__,
                "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
            }
        )
        self._provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()))
        self._provider.add_span_processor(BatchSpanProcessor(Exporter(f"{endpoint.removesuffix(PATH)}{PATH}")))
        self._tracer = self._provider.get_tracer("photogpt-worker", __version__)

    @contextmanager
    def span(
        self, name: str, kind: SpanKind, attributes: Attributes, parent: Parent | None, start: float | None
    ) -> Iterator[ActiveSpan]:
        """Run one span. The class of an error that leaves it is recorded, not its text, which may quote a URL."""
        above, links = _context(parent), None
        context = trace.get_current_span(above).get_span_context()
        if parent is not None and parent.is_old and context.trace_flags.sampled:
            above, links = Context(), [trace.Link(context)]
        made = self._tracer.start_span(
            name,
            context=above,
            kind=KINDS[kind],
            attributes=dict(attributes),
            links=links,
            start_time=None if start is None else int(start * NS),
            record_exception=False,
        )
        active = ActiveSpan(made)
        try:
            yield active
        except Exception as error:
            active.set({"error.type": type(error).__name__})
            active.fail(type(error).__name__)
            raise
        finally:
            active.end()

    def stop(self) -> None:
        """Export what is left. Without an answer of the collector this takes a few seconds."""
        self._provider.shutdown()


def _context(parent: Parent | None) -> Context:
    """Return OpenTelemetry's context of a parent; an empty one without a parent."""
    carrier = {"traceparent": parent.traceparent} if parent else {}
    return TraceContextTextMapPropagator().extract(carrier, context=Context())
