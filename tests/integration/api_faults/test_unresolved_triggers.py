"""Jobs whose triggers are unresolved at the same time share one search of PhotoGPT's list."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import formatdate
from typing import Any
from unittest.mock import create_autospec

import pytest
import redis

from config.settings import Settings
from tests.conftest import image_request
from tests.integration.api_faults.conftest import Faults
from tests.integration.api_faults.test_clocks import photogpt
from tests.running import keys
from tests.unit.factories import make_job
from tests.waiting import wait_until
from worker.domain.decision import Reschedule, Submitted
from worker.domain.errors import ApiError, Refused, Unavailable
from worker.domain.job import Job, Kind
from worker.sandbox.remote import SandboxProcess
from worker.services import Services, TaskPublisher, open_services
from worker.steps.reconcile import reconcile
from worker.steps.search import MAX_FAILURES, Search, SharedSearch


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
    generations = {entry["jobId"] for page in services.photogpt.pages_between(at - 60, at + 60) for entry in page}
    known = {services.store.jobs.get("answered").generation_id}  # type: ignore[union-attr]
    assert {second.generation_id} == generations - known


@pytest.fixture
def pages_of_one(sandbox: SandboxProcess) -> Iterator[None]:
    """Let GET /jobs show one generation on a page."""
    sandbox.control.options(page_size=1)
    yield
    sandbox.control.options(page_size=50)


def lose(services: Services, *names: str) -> list[Job]:
    """Return jobs whose generations exist and whose answers were lost."""
    jobs = [asked(services, name) for name in names]
    for job in jobs:
        services.photogpt.trigger(job.kind, job.request)
    return jobs


def requests(sandbox: SandboxProcess) -> tuple[int, int]:
    """Return how often the list and single generations were requested."""
    counts: dict[str, Any] = sandbox.control.state()["requests"]
    return counts.get("listJobs", 0), counts.get("getJobStatus", 0)


def begun(services: Services, job: Job, settles: float = 1.0) -> tuple[float, float]:
    """Return the arguments of a search: when the job was triggered, and a time some settling times later."""
    assert job.intent_at is not None
    return job.intent_at, job.intent_at + settles * services.settings.uncertain_settle_s


@pytest.mark.usefixtures("pages_of_one")
def test_jobs_share_a_search(services: Services, sandbox: SandboxProcess) -> None:
    """Of five unresolved jobs one reads the five pages and the five generations, and each of them names all five."""
    jobs = lose(services, *(f"lost-{number}" for number in range(5)))
    at = services.store.clock() + 5 * services.settings.uncertain_settle_s

    ends = [reconcile(services, job, at) for job in jobs]

    made = [generation["jobId"] for generation in sandbox.control.generations()]
    assert all(name in str(end) for end in ends for name in made)
    assert requests(sandbox) == (5, 5)


def test_a_search_that_began_too_early(services: Services, sandbox: SandboxProcess) -> None:
    """A search that began before a job's settling time was over does not count for it; the next one waits a moment."""
    shared = SharedSearch()
    first, second = lose(services, "first", "second")
    assert isinstance(shared.result(services, *begun(services, first)), Search)

    assert second.intent_at is not None
    assert first.intent_at is not None
    before = shared.result(services, *begun(services, second))
    after = shared.result(services, *begun(services, second, settles=1.5))

    assert isinstance(before, float)
    assert isinstance(after, Search)
    assert after.began_at >= second.intent_at + services.settings.uncertain_settle_s
    assert requests(sandbox) == (2, 2)


def test_a_search_in_progress_leaves_the_one_before(services: Services, faults: Faults) -> None:
    """While a later job's search waits for its next request, an earlier job still gets the search before."""
    shared = SharedSearch()
    first, second = lose(services, "first", "second")
    before = shared.result(services, *begun(services, first))
    faults("listJobs", {"status": 429, "retry_after": 60})
    assert isinstance(shared.result(services, *begun(services, second, settles=1.5)), float)
    assert shared.result(services, *begun(services, first)) is before
    assert isinstance(before, Search)


def test_a_later_settling_time_needs_a_new_search(services: Services, sandbox: SandboxProcess) -> None:
    """After another settling time a job gets a new search, which does not read known records again."""
    shared = SharedSearch()
    (job,) = lose(services, "lost")
    for settles in (1.0, 1.9, 2.0, 2.9, 3.0):
        assert isinstance(shared.result(services, *begun(services, job, settles)), Search)
    assert requests(sandbox) == (3, 1)


@pytest.mark.parametrize("dated", [True, False])
def test_an_older_generation(services: Services, isolated_settings: Settings, dated: bool) -> None:
    """A later job does not adopt an older generation from the search for an older job, not even an undated one."""
    del services
    with photogpt(-100.0, date=formatdate(usegmt=True), dated=dated) as url:
        changed = isolated_settings.model_copy(update={"base_url": url})
        opened = open_services(changed, create_autospec(TaskPublisher, instance=True))
        later = asked(opened, "later")
        at = (later.intent_at or 0.0) + 2 * changed.uncertain_settle_s
        reconcile(opened, replace(later, id="older", intent_at=at - 103), at)
        decision = reconcile(opened, later, at)
        opened.close()

    assert isinstance(decision, Reschedule)
    assert decision.clear_intent is dated


@pytest.mark.usefixtures("pages_of_one")
def test_a_search_goes_on(services: Services, sandbox: SandboxProcess, faults: Faults) -> None:
    """After a page that asks for a wait longer than a step, another job goes on at that page."""
    shared = SharedSearch()
    services = replace(services, settings=services.settings.model_copy(update={"api_call_deadline_s": 2}))
    first, second = lose(services, "first", "second")
    faults("listJobs", {"status": 429, "retry_after": 1}, after=1)

    wait_s = shared.result(services, *begun(services, first))
    assert isinstance(wait_s, float)
    assert requests(sandbox) == (2, 0)
    found = wait_until(
        lambda: isinstance(result := shared.result(services, *begun(services, first)), Search) and result,
        "the search is complete",
    )

    assert isinstance(found, Search)
    assert len(found.listed) == 2
    assert requests(sandbox) == (3, 2)
    assert isinstance(shared.result(services, *begun(services, second)), float)  # it began too early for this one


def test_one_thread_searches(services: Services, sandbox: SandboxProcess, faults: Faults) -> None:
    """While one thread searches, another job waits without a thread; one past its deadline waits for the result."""
    shared = SharedSearch()
    (job,) = lose(services, "lost")
    faults("listJobs", {"latency": 0.5})
    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(shared.result, services, *begun(services, job))
        wait_until(lambda: requests(sandbox)[0] == 1, "a thread searches")
        assert isinstance(shared.result(services, *begun(services, job)), float)
        found = shared.result(services, *begun(services, job), wait_s=5)
        assert found is searching.result()
    assert requests(sandbox) == (1, 1)


def test_generations_that_cannot_be_read(services: Services, sandbox: SandboxProcess, faults: Faults) -> None:
    """A search ends although a generation is not found and another cannot be read, and says why."""
    changed = replace(services, settings=services.settings.model_copy(update={"uncertain_settle_s": 0.1}))
    lose(changed, "first", "second", "third")
    missing, fine, broken = sorted(generation["jobId"] for generation in sandbox.control.generations())
    faults("getJobStatus", {"not_found": True}, count=None, id=missing)
    faults("getJobStatus", {"status": 500}, count=None, id=broken)

    at = changed.store.clock() + 1
    found = SharedSearch().result(changed, at - 1, at)

    assert isinstance(found, Search)
    assert list(found.models) == [fine]
    assert {name: type(error) for name, error in found.unreadable.items()} == {missing: Refused, broken: Unavailable}
    assert requests(sandbox)[1] == MAX_FAILURES + 2


@pytest.mark.parametrize("action", [{"status": 400}, {"unauthorized": True}], ids=["refused", "wrong key"])
def test_a_list_that_is_refused(
    services: Services, sandbox: SandboxProcess, faults: Faults, action: dict[str, Any]
) -> None:
    """A refusal ends the search; other jobs do not repeat it at once, and a later search begins from the first page."""
    shared = SharedSearch()
    (job,) = lose(services, "lost")
    faults("listJobs", action)
    with pytest.raises(ApiError):
        shared.result(services, *begun(services, job))
    assert isinstance(shared.result(services, *begun(services, job)), float)
    assert requests(sandbox)[0] == 1
    assert isinstance(shared.result(services, *begun(services, job, settles=1.5)), Search)
