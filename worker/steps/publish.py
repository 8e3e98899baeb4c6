"""Ends a job: the outcome goes to Redis, to Celery's result backend and to webhooks."""

from __future__ import annotations

from dataclasses import replace

from worker.domain.decision import Finish
from worker.domain.job import Job, JobState
from worker.domain.outcome import JobResult, Outcome, as_error, outcome
from worker.queue.continuation import default_continuation, read_continuation
from worker.services import Services
from worker.telemetry import recorder, traces
from worker.telemetry.logs import event
from worker.telemetry.metrics import JOB_DURATION
from worker.telemetry.spans import Span
from worker.telemetry.trace_context import in_trace


def finish_job(services: Services, job: Job, finish: Finish, *, result_by_message: bool = False) -> bool:
    """End a job once, and publish its outcome; False if it ended or moved on since `job` was read.

    One script writes the record, the events, the webhooks and, for a job without a canvas, Celery's result. With a
    canvas a message under the producer's task id lets Celery store the result and go on.

    Args:
        services: the process' clients.
        job: as it was claimed.
        finish: how it ends.
        result_by_message: send the message in any case; Celery then decides what the result is.
    """
    age_s = services.store.clock() - job.created_at
    with in_trace(job.traceparent, age_s=age_s), traces.span(f"job {job.kind}", start=job.created_at) as span:
        traced = replace(job, traceparent=span.traceparent or job.traceparent)
        ended = False
        try:
            ended = _finish(services, traced, finish, span, result_by_message=result_by_message)
        finally:
            if ended:
                span.end_at(services.store.clock())  # its start is by Redis' clock, too
            else:
                span.discard()
    return ended


def _finish(services: Services, job: Job, finish: Finish, span: Span, *, result_by_message: bool) -> bool:
    jobs, publisher, result = services.store.jobs, services.publisher, finish.result
    final = outcome(job, result, at=services.store.clock())
    final["polls"] += finish.polled
    direct = job.result_meta is not None and not result_by_message
    finished = jobs.finish(
        job,
        final,
        publisher.result(job, final) if direct else None,
        polled=finish.polled,
        outcome_known=finish.outcome_known,
        intent=finish.intent,
        duration_s=finish.duration_s,
        store_files=services.settings.outputs_when == "after" and has_files_to_store(services, result),
    )
    if finished is None:
        return False
    _describe(span, final)
    recorder.observe(JOB_DURATION, services.store.clock() - job.created_at, job.kind)
    message = result.error or "the job succeeded"
    event("job.ended", message, job=job.id, kind=job.kind, state=result.state, reason=result.reason)
    if direct:
        publisher.ended(job, final)
    else:
        send_continuation(services, job, finished.continuation or "")
    return True


def has_files_to_store(services: Services, result: JobResult) -> bool:
    """Whether a job ends with outputs that are to be stored and are not."""
    known = result.files or result.files_error
    return bool(services.settings.outputs and (result.images or result.videos) and not known)


def _describe(span: Span, final: Outcome) -> None:
    """Let the span of a job show the outcome, without its outputs."""
    shown = {"id": final["id"], "state": final["state"], "reason": final["reason"], "polls": final["polls"]}
    span.set({f"photogpt.job.{name}": value for name, value in shown.items() if value is not None})
    if final["state"] in {JobState.FAILED, JobState.EXPIRED}:
        span.fail(final["reason"] or "")


def resend_result(services: Services, job: Job, at: float) -> None:
    """Send the continuation of an ended job again, since its Celery result is not stored yet.

    Args:
        services: the process' clients.
        job: as it was claimed.
        at: Redis' time, which every step gets.
    """
    del at
    event("result.resent", "the Celery result is not stored yet: its message is sent again", job=job.id)
    send_continuation(services, job, services.store.job_history.continuation(job.id) or "")


def send_continuation(services: Services, job: Job, continuation: str) -> None:
    """Send the message with which Celery stores the result and runs the canvas. A lost message is sent again."""
    if continuation:
        services.publisher.resend_task(read_continuation(continuation))
    elif job.result_meta is not None:
        services.publisher.resend_task(default_continuation(job))
    else:
        event("job.no_continuation", "the record holds no message to store the Celery result", job=job.id, warn=True)


def return_outcome(final: Outcome) -> Outcome:
    """Return the outcome of a job that succeeded, for Celery to store.

    Raises:
        JobError: the job did not succeed; the message starts with the reason.
    """
    error = as_error(final)
    if error is None:
        return final
    raise error
