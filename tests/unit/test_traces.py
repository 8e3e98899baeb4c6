"""Traces: contexts, links, and what is imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from config.settings import load_settings
from tests.integration.otlp import collector
from worker.cli.local.processes import free_port
from worker.telemetry import traces
from worker.telemetry.spans import SpanKind
from worker.telemetry.trace_context import current_trace_id, in_trace, read_traceparent
from worker.telemetry.traces import TracingUnavailable, span

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """Tracing is on; the spans that ended are kept."""
    exporter = InMemorySpanExporter()
    with collector() as running:
        traces.start(load_settings(otlp_endpoint=running.url))
        tracer: object = traces._tracer
        tracer._provider.add_span_processor(SimpleSpanProcessor(exporter))  # type: ignore[attr-defined]
        yield exporter
        traces.stop()


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    """Return the only span that ended."""
    (ended,) = exporter.get_finished_spans()
    return ended


def test_without_the_setting_nothing_is_imported() -> None:
    """Without the setting nothing of OpenTelemetry's tracing is imported (redis-py imports its metrics)."""
    code = (
        "import sys, worker.tasks, worker.queue.start, worker.cli.main\n"
        "from worker.telemetry import traces\n"
        "from config.settings import load_settings\n"
        "traces.start(load_settings())\n"
        "print(sorted({'worker.telemetry.otel', 'opentelemetry.sdk.trace'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting and without the packages, the error names the extra."""
    monkeypatch.delitem(sys.modules, "worker.telemetry.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(TracingUnavailable, match=r"pip install 'photogpt-worker\[otel\]'"):
        traces.start(load_settings(otlp_endpoint="http://127.0.0.1:4318"))


@pytest.mark.parametrize("value", [SAMPLED, UNSAMPLED, f"cc-{TRACE}-00f067aa0ba902b7-09"])
def test_a_traceparent_is_read(value: str) -> None:
    """A text in W3C's form is a context, whatever its version and flags are."""
    assert read_traceparent(value) == value


@pytest.mark.parametrize(
    "value",
    [
        SAMPLED.upper(),
        f"{SAMPLED}-more",
        f"{SAMPLED}\n",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        "",
        None,
        [SAMPLED],
    ],
)
def test_another_value_is_no_traceparent(value: object) -> None:
    """A value that is not in W3C's form, or has an id of zeros, is no context."""
    assert read_traceparent(value) is None


def test_a_span_begins_under_the_stored_context(exported: InMemorySpanExporter) -> None:
    """A span inside of a trace has its id and its parent, and spans inside of it are its children."""
    with in_trace(SAMPLED), span("outer") as outer:
        assert current_trace_id() == TRACE
        with span("inner", SpanKind.CLIENT):
            pass
    inner, ended = exported.get_finished_spans()
    assert inner.parent is not None
    assert ended.parent is not None
    assert (f"{inner.context.trace_id:032x}", f"{ended.parent.span_id:016x}") == (TRACE, "00f067aa0ba902b7")
    assert outer.traceparent == f"00-{TRACE}-{inner.parent.span_id:016x}-01"
    assert current_trace_id() is None


def test_an_old_context_is_linked(exported: InMemorySpanExporter) -> None:
    """More than ten minutes later a span begins a trace of its own, with a link to the first."""
    with in_trace(SAMPLED, age_s=601), span("late"):
        pass
    late = only(exported)
    assert late.parent is None
    assert [f"{link.context.trace_id:032x}" for link in late.links] == [TRACE]
    assert f"{late.context.trace_id:032x}" != TRACE


def test_an_old_context_that_is_not_sampled_stays_so(exported: InMemorySpanExporter) -> None:
    """An unsampled trace exports nothing, however old it is, and keeps its id."""
    with in_trace(UNSAMPLED, age_s=601), span("late") as late:
        assert late.traceparent is not None
        assert late.traceparent.split("-")[1::2] == [TRACE, "00"]
    assert exported.get_finished_spans() == ()


def test_an_error_marks_the_span_without_its_text(exported: InMemorySpanExporter) -> None:
    """An error that leaves a span goes on, and the span has the class of the error and not its text."""
    with pytest.raises(ValueError, match="staple"), span("failing"):
        raise ValueError("https://shop.example/?token=staple")
    failing = only(exported)
    assert failing.attributes == {"error.type": "ValueError"}
    assert not failing.status.is_ok
    assert "staple" not in failing.to_json()


def test_a_discarded_span_is_not_exported(exported: InMemorySpanExporter) -> None:
    """A span that is discarded does not reach the exporter."""
    with span("lost race") as lost:
        lost.discard()
    assert exported.get_finished_spans() == ()


def test_a_collector_that_is_down_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Without a collector spans are made as usual, the end of the process gives them up, and one line says so."""
    traces.start(load_settings(otlp_endpoint=f"http://127.0.0.1:{free_port()}"))
    try:
        with span("unheard") as unheard:
            assert unheard.traceparent
    finally:
        traces.stop()
    with span("off") as off:
        assert off.traceparent is None
    assert [record.__dict__.get("event") for record in caplog.records] == ["traces.lost"]
