"""A collector of traces: takes OTLP over HTTP and keeps the spans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.serving import serving


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A span as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    #: Trace ids of its links.
    links: tuple[str, ...]
    attributes: dict[str, Any]
    resource: dict[str, Any]
    failed: bool
    started_at: float
    ended_at: float


@dataclass
class Collector:
    """What arrived so far."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)

    def of(self, trace: str) -> list[Span]:
        """Return the spans of a trace by start."""
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.started_at)

    def named(self, trace: str, name: str) -> list[Span]:
        """Return the spans of a trace with a name."""
        return [span for span in self.of(trace) if span.name == name]


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector on a loopback port."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.spans += read_spans(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Handler) as found.url:
        yield found


def read_spans(body: bytes) -> Iterator[Span]:
    """Yield the spans of a request to a collector."""
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        for span in (span for scope in group.scope_spans for span in scope.spans):
            yield Span(
                name=span.name,
                trace=span.trace_id.hex(),
                id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                links=tuple(link.trace_id.hex() for link in span.links),
                attributes=values(span.attributes),
                resource=values(group.resource.attributes),
                failed=span.status.code == 2,
                started_at=span.start_time_unix_nano / 1e9,
                ended_at=span.end_time_unix_nano / 1e9,
            )


def values(attributes: Any) -> dict[str, Any]:
    """Return attributes by name."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
