"""One trace for each job, from the producer's message to the webhook, at a real collector."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery, chain, chord, signature
from click.testing import CliRunner
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.conftest import image_request
from tests.integration.otlp import Collector, Span, collector
from tests.running import Database, Receiver, WorkerProcess, celery_app, keys
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.main import cli
from worker.sandbox.remote import SandboxProcess

PROCESS, TRIGGER, POLL = "process photogpt.generate_image", "POST /images/generation", "GET /jobs/{id}"
INBOX, JOB, WEBHOOK = "process inbox", "job image", "POST webhook"


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    """A collector for the module."""
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced_env(valkey: EmbeddedValkey, worker_env: dict[str, str], spans: Collector) -> dict[str, str]:
    """The environment of a worker that traces, on a database of its own."""
    url = Database.TRACES.url(valkey.url)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return worker_env | {
        "PHOTOGPT_REDIS_URL": url,
        "PHOTOGPT_BROKER_URL": "",
        "PHOTOGPT_OTLP_ENDPOINT": spans.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }


@pytest.fixture(scope="module")
def traced_worker(traced_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker that traces."""
    running = WorkerProcess(traced_env, tmp_path_factory.mktemp("traced") / "worker.log").ready()
    yield running
    assert running.child.stop() == 0


@pytest.fixture
def sender(traced_env: dict[str, str], traced_worker: WorkerProcess, sandbox: SandboxProcess) -> Iterator[Celery]:
    """A producer without any of our code."""
    del traced_worker, sandbox
    url = traced_env["PHOTOGPT_REDIS_URL"]
    with celery_app(url, url) as app:
        yield app


def new_trace(flags: str = "01") -> tuple[str, str, dict[str, str]]:
    """Return a new trace id, the id of the producer's span, and the headers that carry both."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, {"traceparent": f"00-{trace}-{span}-{flags}"}


def send(app: Celery, headers: dict[str, str], **sandbox: Any) -> Any:
    """Send a job by name with headers."""
    return app.send_task("photogpt.generate_image", kwargs={"request": image_request(**sandbox)}, headers=headers)


def wait_for(spans: Collector, trace: str, *names: str) -> list[Span]:
    """Wait until spans of these names have arrived, and return the trace."""
    wait_until(
        lambda: {*names} <= {span.name for span in spans.of(trace)},
        f"{names} arrive; there are {[span.name for span in spans.of(trace)]}",
        within=20,
    )
    return spans.of(trace)


def test_one_trace_from_producer_to_webhook(
    sender: Celery, spans: Collector, receiver: Receiver, traced_worker: WorkerProcess
) -> None:
    """The spans of a job begin under its producer's span, and the webhook carries the span of its own attempt."""
    trace, producer_span, headers = new_trace("03")  # a second flag is set: only bit 0 says that it is sampled
    kwargs = {"request": image_request(), "webhook_url": f"{receiver.url}?token=staple"}
    job = sender.send_task("photogpt.generate_image", kwargs=kwargs, headers=headers)
    job.get(timeout=30)
    found = wait_for(spans, trace, PROCESS, TRIGGER, POLL, JOB, WEBHOOK)
    by_name = {span.name: span for span in found}
    process, ended, webhook = by_name[PROCESS], by_name[JOB], by_name[WEBHOOK]
    assert process.parent == producer_span
    assert {span.parent for span in found if span not in (process, webhook)} == {process.id}
    assert webhook.parent == ended.id
    assert receiver.requests[0].headers["traceparent"] == f"00-{trace}-{webhook.id}-01"
    assert receiver.requests[0].headers.keys().isdisjoint({"tracestate", "baggage"})
    assert (ended.attributes["photogpt.job.id"], ended.attributes["photogpt.job.state"]) == (job.id, "succeeded")
    assert by_name[TRIGGER].attributes["http.response.status_code"] == 200
    assert webhook.attributes["server.address"] == "127.0.0.1"
    assert process.resource["service.name"] == "photogpt-worker"
    assert process.resource["deployment.environment.name"] == "test"
    assert all(span.ended_at >= span.started_at for span in found)
    assert not any(span.failed for span in found)
    assert not [text for text in ("staple", "quiet harbour", "sandbox-key") if text in repr(found)]
    lines = [line for line in traced_worker.text().splitlines() if job.id in line]
    assert [line for line in lines if f"trace_id={trace}" not in line] == []
    assert {re.split(r"\s+", line)[3] for line in lines} >= {"job.accepted", "job.submitted", "webhook.delivered"}


def test_without_a_traceparent_the_worker_begins_the_trace(sender: Celery, spans: Collector) -> None:
    """A producer that traces nothing gets a trace too, which begins with the worker's span."""
    job = send(sender, {})
    job.get(timeout=30)
    wait_until(lambda: any(_is_of(span, job.id) for span in spans.spans if span.name == JOB), "its span arrives")
    (ended,) = [span for span in spans.spans if span.name == JOB and _is_of(span, job.id)]
    (process,) = wait_for(spans, ended.trace, PROCESS, TRIGGER, POLL)[:1] and spans.named(ended.trace, PROCESS)
    assert process.parent == ""


def _is_of(span: Span, job_id: str) -> bool:
    return bool(span.attributes.get("photogpt.job.id") == job_id)


def test_an_unusable_traceparent(sender: Celery, spans: Collector) -> None:
    """A traceparent that is none is ignored, and the job goes on with a trace of the worker's own."""
    unusable: list[Any] = ["nonsense", f"00-{'0' * 32}-{'1' * 16}-01", "ä", 7, None]
    jobs = [send(sender, {"traceparent": value}) for value in unusable]
    assert {job.get(timeout=30)["state"] for job in jobs} == {"succeeded"}
    ids = {job.id for job in jobs}
    wait_until(
        lambda: ids <= {span.attributes["photogpt.job.id"] for span in spans.spans if span.name == JOB},
        "their spans arrive",
    )


def test_an_unsampled_trace(sender: Celery, spans: Collector, receiver: Receiver) -> None:
    """A trace that its producer does not sample is not exported; the webhook carries its id and the flag."""
    trace, _, headers = new_trace("00")
    kwargs = {"request": image_request(), "webhook_url": receiver.url}
    sender.send_task("photogpt.generate_image", kwargs=kwargs, headers=headers).get(timeout=30)
    wait_until(lambda: receiver.requests, "the webhook arrives")
    _, sent_trace, _, flags = receiver.requests[0].headers["traceparent"].split("-")
    assert (sent_trace, flags) == (trace, "00")
    sampled, _, other = new_trace()
    send(sender, other).get(timeout=30)
    wait_for(spans, sampled, JOB)
    assert spans.of(trace) == []


def test_an_instrumented_producer(sender: Celery, spans: Collector) -> None:
    """With the stock instrumentation of Celery in the producer, the worker's spans begin under the producer's."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = CeleryInstrumentor()  # type: ignore[no-untyped-call]
    instrumentor.instrument(tracer_provider=provider)
    try:
        with provider.get_tracer("test").start_as_current_span("order") as order:
            send(sender, {}).get(timeout=30)
            trace = f"{order.get_span_context().trace_id:032x}"
    finally:
        instrumentor.uninstrument()
    wait_for(spans, trace, PROCESS, TRIGGER, POLL, JOB)
    assert [span.name for span in exporter.get_finished_spans()]


def test_a_canvas_is_one_trace(sender: Celery, spans: Collector) -> None:
    """What follows a job in a chain, and what follows the jobs of a chord, goes on with their trace."""
    upscale = signature("photogpt.upscale_image", kwargs={"request": {"sandbox": {"duration_s": 0.3}}}, app=sender)
    request = {"imageID": "image_1207", "sandbox": {"duration_s": 0.3}}
    whole = signature("photogpt.upscale_image", kwargs={"request": request}, immutable=True, app=sender)
    image = signature("photogpt.generate_image", kwargs={"request": image_request()}, app=sender)
    (chained, _, in_chain), (in_both, _, in_chord) = new_trace(), new_trace()
    results = [
        chain(image, upscale, app=sender).apply_async(headers=in_chain),
        chord([image.clone(), image.clone()], whole, app=sender).apply_async(headers=in_chord),
    ]
    for result in results:
        result.get(timeout=40)
    for trace, images in ((chained, 1), (in_both, 2)):
        wait_for(spans, trace, PROCESS, "process photogpt.upscale_image", "POST /images/upscaling", "job upscale")
        assert len(spans.named(trace, JOB)) == images


def test_a_canceled_job(sender: Celery, spans: Collector) -> None:
    """A job that is revoked ends in its own trace, as canceled and not as failed."""
    trace, _, headers = new_trace()
    job = send(sender, headers, duration_s=60)
    wait_for(spans, trace, TRIGGER)
    job.revoke()
    wait_for(spans, trace, JOB)
    (ended,) = spans.named(trace, JOB)
    assert (ended.attributes["photogpt.job.state"], ended.failed) == ("canceled", False)


def test_a_failed_job_and_its_replay(
    sender: Celery, spans: Collector, traced_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that failed marks its span as failed, and its replay goes on with the same trace."""
    for name, value in traced_env.items():
        monkeypatch.setenv(name, value)
    trace, _, headers = new_trace()
    job = sender.send_task("photogpt.generate_image", kwargs={"request": image_request(end="failed")}, headers=headers)
    job.get(timeout=30, propagate=False)
    wait_for(spans, trace, JOB)
    (failed,) = spans.named(trace, JOB)
    assert (failed.failed, failed.attributes["photogpt.job.reason"]) == (True, "generation_failed")
    result = CliRunner().invoke(cli, ["replay", "--even-if-paid", job.id])
    assert result.exit_code == 0, result.output
    wait_until(lambda: len(spans.named(trace, JOB)) == 2, "the replay has ended", within=20)


def test_an_entry_of_the_inbox_passes_a_trace_on(
    spans: Collector, traced_env: dict[str, str], traced_worker: WorkerProcess, sandbox: SandboxProcess
) -> None:
    """A job of the inbox has its spans under the span in which its producer appended it."""
    del traced_worker, sandbox
    trace, span_id, headers = new_trace()
    job = {"id": trace, "kind": "image", "request": image_request(), "traceparent": headers["traceparent"]}
    with redis.Redis.from_url(traced_env["PHOTOGPT_REDIS_URL"]) as client:
        client.xadd(keys.inbox, {"job": json.dumps(job)})
    found = wait_for(spans, trace, INBOX, TRIGGER, POLL, JOB)
    (processed,) = spans.named(trace, INBOX)
    assert processed.parent == span_id
    assert {span.parent for span in found if span.name != INBOX} == {processed.id}


def test_a_killed_worker(sender: Celery, spans: Collector, traced_worker: WorkerProcess) -> None:
    """After a SIGKILL the next worker goes on with the trace."""
    trace, _, headers = new_trace()
    job = send(sender, headers, duration_s=3)
    wait_for(spans, trace, TRIGGER)
    traced_worker.kill()
    traced_worker.start()
    traced_worker.ready()
    assert job.get(timeout=40)["state"] == "succeeded"
    found = wait_for(spans, trace, POLL, JOB)
    by_name = {span.name: span for span in found}
    assert by_name[JOB].parent == by_name[TRIGGER].parent
    assert by_name[JOB].resource["service.instance.id"] != by_name[TRIGGER].resource["service.instance.id"]
