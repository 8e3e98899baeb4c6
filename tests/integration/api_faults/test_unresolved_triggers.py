"""A job with a lost answer beside one that gets its answer at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import create_autospec

import pytest
import redis

from config.settings import Settings
from tests.conftest import image_request
from tests.running import keys
from tests.unit.factories import make_job
from worker.domain.decision import Reschedule, Submitted
from worker.domain.job import Job, Kind
from worker.sandbox.remote import SandboxProcess
from worker.services import Services, TaskPublisher, open_services
from worker.steps.reconcile import reconcile


@pytest.fixture
def services(isolated_client: redis.Redis, sandbox: SandboxProcess, isolated_settings: Settings) -> Iterator[Services]:
    """The clients of a worker, on an empty database."""
    del isolated_client, sandbox
    opened = open_services(isolated_settings, create_autospec(TaskPublisher, instance=True))
    yield opened
    opened.close()


def asked(services: Services, job_id: str) -> Job:
    """Return a job with an open intent."""
    at = services.store.clock()
    job = make_job(Kind.IMAGE, id=job_id, created_at=at, deadline_at=at + 600, request=image_request(duration_s=60))
    services.store.jobs.accept(job, digest="d", continuation="{}")
    assert services.store.jobs.record_intent(job)
    found = services.store.jobs.get(job_id)
    assert found is not None
    return found


def test_an_answer_that_came_in_between(services: Services, isolated_client: redis.Redis) -> None:
    """A job that gets its answer while another is reconciled is no longer counted as a competing intent."""
    lost, answered = asked(services, "lost"), asked(services, "answered")
    for job in (lost, answered):
        taken = Submitted(services.photogpt.trigger(job.kind, job.request))
        if job is answered:
            services.store.jobs.mark_submitted(job, taken, poll_after=60)
    assert lost.intent_at is not None
    at = lost.intent_at + services.settings.uncertain_settle_s
    isolated_client.zadd(keys.intents, {"answered": at})  # as it was when the open intents were read

    first = reconcile(services, lost, at)
    isolated_client.zrem(keys.intents, "answered")
    second = reconcile(services, lost, at)

    assert first == Reschedule(after=1.0)
    assert isinstance(second, Submitted)
    generations = {generation["jobId"] for generation in services.photogpt.generations_between(at - 60, at + 60)}
    known = {services.store.jobs.get("answered").generation_id}  # type: ignore[union-attr]
    assert {second.generation_id} == generations - known
