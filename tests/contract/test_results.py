"""The Celery result that our script writes is the one that Celery's own tracer would have stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.app.task import Context
from celery.result import AsyncResult, GroupResult

from config.celery import celery_options
from config.settings import Settings
from tests.running import keys
from tests.unit.factories import ended, make_job, success
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.decision import Submitted
from worker.domain.job import Job, JobState, JsonObject
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult, Outcome, as_error
from worker.domain.reason import Reason
from worker.queue.continuation import result_fields
from worker.queue.publisher import CeleryPublisher
from worker.store.records import JobAccepted
from worker.store.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")  # Celery's own call
RETENTION_S = 5000
ENDINGS = {
    "succeeded": success(),
    "failed": JobResult(state=JobState.FAILED, reason=Reason.GENERATION_FAILED, error="it could not: Größe ☃"),
    "expired": JobResult(state=JobState.EXPIRED, reason=Reason.DEADLINE_EXCEEDED, error="too late"),
    "canceled": JobResult(state=JobState.CANCELED, reason=Reason.CANCELED, error="not wanted"),
}


@pytest.fixture
def store_settings(valkey: EmbeddedValkey) -> Settings:
    """A store with a retention that differs from Celery's default."""
    return Settings(_env_file=None, redis_url=valkey.url, retention_s=RETENTION_S)


@pytest.fixture
def app(store_settings: Settings) -> Iterator[Celery]:
    """An app with the worker's own options."""
    made = Celery("photogpt", set_as_current=False)
    made.conf.update(celery_options(store_settings))
    yield made
    made.close()


def accepted(store: Store, job_id: str = "job-1", **changes: Any) -> Job:
    """Accept and return a job whose result the script writes."""
    at = round(store.clock(), 3)
    usual: dict[str, Any] = {"id": job_id, "created_at": at, "deadline_at": at + 600, "result_meta": {}}
    job = make_job(**usual | changes)
    assert isinstance(store.jobs.accept(job, digest="d", continuation="{}"), JobAccepted)
    return job


def end(store: Store, publisher: CeleryPublisher, job: Job, ending: JobResult) -> Outcome:
    """End a job as a step does, and return its outcome."""
    final = ended(job, ending, at=store.clock())
    finished = store.jobs.finish(job, final, publisher.result(job, final))
    assert finished is not None
    assert finished.continuation is None
    return final


def stored_by_celery(app: Celery, outcome: Outcome, job: Job) -> Any:
    """Let Celery store the same outcome under another id, and return what it stored."""
    error, name = as_error(outcome), job.id + "-celery"
    backend: Any = app.backend
    request = Context({"id": name, **_names(job.result_meta or {})}, called_directly=False)
    if error is None:
        backend.mark_as_done(name, outcome, request=request)
    else:
        backend.mark_as_failure(name, error, traceback=None, request=request)
    return backend.get(backend.get_key_for_task(name))


def _names(kept: JsonObject) -> JsonObject:
    """Return the kept fields under the names of Celery's context."""
    return {"group" if name == "group_id" else name: value for name, value in kept.items()}


@pytest.mark.parametrize("kept", [{}, {"group_id": "a group"}, {"parent_id": "a parent"}], ids=str)
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_the_result_is_celerys(store: Store, app: Celery, client: Any, ending: JobResult, kept: JsonObject) -> None:
    """The stored result equals Celery's own in every key but the time and the id, and has the same TTL."""
    job = accepted(store, result_meta=kept)
    outcome = end(store, CeleryPublisher(app), job, ending)
    written = json.loads(client.get(f"celery-task-meta-{job.id}"))
    expected = json.loads(stored_by_celery(app, outcome, job))
    assert written.keys() == expected.keys()
    same = set(written) - {"task_id", "date_done"}
    assert {name: written[name] for name in same} == {name: expected[name] for name in same}
    assert written["task_id"] == job.id
    assert type(written["date_done"]) is type(expected["date_done"])
    ttl = client.ttl(f"celery-task-meta-{job.id}")
    assert RETENTION_S - 30 < ttl <= RETENTION_S
    assert abs(ttl - client.ttl(f"celery-task-meta-{job.id}-celery")) <= 30
    assert client.zcard(keys.lane(Lane.RESULTS)) == 0
    assert client.hget(keys.job(job.id), "published_at")


@pytest.mark.parametrize("name", ENDINGS)
def test_a_producers_app_reads_the_result(store: Store, app: Celery, producer: Celery, name: str) -> None:
    """A producer without our code reads state, value and exception."""
    job = accepted(store)
    outcome = end(store, CeleryPublisher(app), job, ENDINGS[name])
    result: AsyncResult[Any] = producer.AsyncResult(job.id)
    assert result.ready()
    if name == "succeeded":
        assert result.state == "SUCCESS"
        assert result.get(timeout=10) == outcome == result.info
        return
    assert result.state == "FAILURE"
    with pytest.raises(Exception, match=f"^{outcome['reason']}: ") as raised:
        result.get(timeout=10)
    assert type(raised.value).__name__ == f"Job{name.capitalize()}"
    assert str(result.info) == str(raised.value)


def test_a_waiting_producer_is_notified(store: Store, app: Celery, client: Any) -> None:
    """The end of a job publishes the same message on the key's channel as Celery does."""
    job = accepted(store)
    with client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(f"celery-task-meta-{job.id}")
        while channel.get_message(timeout=1) is not None:
            pass
        end(store, CeleryPublisher(app), job, success())
        found = next((got for _ in range(100) if (got := channel.get_message(timeout=0.1))), None)
    assert found is not None
    assert found["data"] == client.get(f"celery-task-meta-{job.id}")


def test_a_group(store: Store, app: Celery, producer: Celery) -> None:
    """A group of jobs joins to their outcomes, and raises the error of a failed one."""
    publisher = CeleryPublisher(app)
    jobs = [accepted(store, f"job-{n}", result_meta={"group_id": "a group"}) for n in range(3)]
    parts = [producer.AsyncResult(job.id) for job in jobs]
    group = GroupResult("a group", parts, app=producer)
    outcomes = [end(store, publisher, job, success()) for job in jobs]
    assert group.join(timeout=10) == outcomes
    bad = accepted(store, "job-bad", result_meta={"group_id": "a group"})
    end(store, publisher, bad, ENDINGS["failed"])
    with pytest.raises(Exception, match="generation_failed"):
        GroupResult("a group", [*parts, producer.AsyncResult(bad.id)], app=producer).join(timeout=10)


def test_an_ignored_result_is_not_stored(store: Store, app: Celery, client: Any) -> None:
    """With `ignore_result` no result is stored, neither for progress nor at the end."""
    publisher = CeleryPublisher(app)
    job = accepted(store, result_meta={"ignored": True})
    progressed(store, publisher, job)
    now = store.jobs.get(job.id)
    assert now is not None
    end(store, publisher, now, success())
    assert client.keys("celery-task-meta-*") == []
    assert client.zcard(keys.lane(Lane.RESULTS)) == 0


def progressed(store: Store, publisher: CeleryPublisher, job: Job) -> bool:
    """Store that PhotoGPT accepted the job, with the result that shows it."""
    assert store.jobs.record_intent(job)
    update = publisher.progress(job, JobState.SUBMITTED, "g-1")
    return bool(store.jobs.mark_submitted(job, Submitted("g-1"), poll_after=5, update=update))


def test_progress_is_a_custom_state(store: Store, app: Celery, producer: Celery, client: Any) -> None:
    """AsyncResult shows the states SUBMITTED and RUNNING, as `update_state` would set them."""
    publisher = CeleryPublisher(app)
    job = accepted(store)
    assert progressed(store, publisher, job)
    result: AsyncResult[Any] = producer.AsyncResult(job.id)
    assert (result.state, result.info["generation_id"]) == ("SUBMITTED", "g-1")
    assert not result.ready()
    now = store.jobs.get(job.id)
    assert now is not None
    assert store.jobs.mark_running(now, poll_after=5, update=publisher.progress(now, JobState.RUNNING, "g-1"))
    assert str(producer.AsyncResult(job.id).state) == "RUNNING"


def test_progress_reads_as_celerys(store: Store, app: Celery, producer: Celery, client: Any) -> None:
    """A waiting producer gets all of Celery's fields; the stored text is shorter and reads the same."""
    publisher = CeleryPublisher(app)
    job = accepted(store)
    with client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(f"celery-task-meta-{job.id}")
        while channel.get_message(timeout=1) is not None:
            pass
        assert progressed(store, publisher, job)
        received = next(got for _ in range(100) if (got := channel.get_message(timeout=0.1)))
    app.backend.store_result("celery", json.loads(received["data"])["result"], "SUBMITTED")
    expected = json.loads(client.get("celery-task-meta-celery"))
    assert json.loads(received["data"]) == expected | {"task_id": job.id, "children": []}
    kept, own = producer.AsyncResult(job.id), producer.AsyncResult("celery")
    for name in ("state", "info", "traceback", "date_done"):
        assert getattr(kept, name) == getattr(own, name)
    assert not kept.ready()
    assert not kept.children
    assert client.strlen(f"celery-task-meta-{job.id}") < 0.7 * client.strlen("celery-task-meta-celery")


def test_progress_never_replaces_the_end(store: Store, app: Celery, client: Any) -> None:
    """An answer of PhotoGPT that comes after the job has ended does not change its result."""
    publisher = CeleryPublisher(app)
    job = accepted(store)
    assert store.jobs.record_intent(job)
    seen = store.jobs.get(job.id)
    assert seen is not None
    end(store, publisher, seen, ENDINGS["canceled"])
    before = client.get(f"celery-task-meta-{job.id}")
    update = publisher.progress(job, JobState.SUBMITTED, "g-1")
    assert not store.jobs.mark_submitted(seen, Submitted("g-1"), poll_after=5, update=update)
    assert not store.jobs.mark_running(seen, poll_after=5, update=publisher.progress(job, JobState.RUNNING, "g-1"))
    late = ended(seen, success(), at=store.clock())
    assert store.jobs.finish(seen, late, publisher.result(job, late)) is None
    assert client.get(f"celery-task-meta-{job.id}") == before


def test_a_canvas_gets_its_result_from_celery(store: Store, app: Celery, client: Any) -> None:
    """For a task in a canvas the script stores no result, and schedules the continuation."""
    del app
    job = accepted(store, result_meta=None)
    finished = store.jobs.finish(job, ended(job, success(), at=store.clock()), None)
    assert finished is not None
    assert finished.continuation == "{}"
    assert client.keys("celery-task-meta-*") == []
    assert client.zscore(keys.lane(Lane.RESULTS), job.id) is not None


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, {}),
        ({"group": "g", "parent_id": "p"}, {"group_id": "g", "parent_id": "p"}),
        ({"ignore_result": True}, {"ignored": True}),
        ({"chord": {"task": "t"}}, None),
        ({"chain": [{"task": "t"}]}, None),
        ({"callbacks": [{"task": "t"}]}, None),
        ({"errbacks": [{"task": "t"}], "ignore_result": True}, None),
    ],
    ids=str,
)
def test_result_fields_of_a_message(request_: dict[str, Any], expected: JsonObject | None) -> None:
    """A canvas has no result fields; other messages keep group, parent and ignore_result."""
    assert result_fields(Context(request_)) == expected
