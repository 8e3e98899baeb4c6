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
from worker.domain.decision import Finish, Reschedule, Submitted
from worker.domain.errors import ApiError, Refused, Unavailable
from worker.domain.job import Job, JsonObject, Kind
from worker.domain.lane import Lane
from worker.domain.reason import Reason
from worker.sandbox.remote import SandboxProcess
from worker.services import Services, TaskPublisher, open_services
from worker.steps.candidates import has_competitor
from worker.steps.reconcile import reconcile
from worker.steps.search import MAX_ASKS_PER_S, MAX_FAILURES, Search, SharedSearch, search_interval_s
from worker.steps.trigger import trigger


@pytest.fixture
def services(isolated_client: redis.Redis, sandbox: SandboxProcess, isolated_settings: Settings) -> Iterator[Services]:
    """The clients of a worker, on an empty database."""
    del isolated_client, sandbox
    opened = open_services(isolated_settings, create_autospec(TaskPublisher, instance=True))
    yield opened
    opened.close()


def asked(services: Services, job_id: str, kind: Kind = Kind.IMAGE, *, request: JsonObject | None = None) -> Job:
    """Return a job with an open intent."""
    at = services.store.clock()
    body = image_request(duration_s=60) if request is None else request
    job = make_job(kind, id=job_id, created_at=at, deadline_at=at + 600, request=body)
    services.store.jobs.accept(job, digest="d", continuation="{}")
    assert services.store.jobs.record_intent(job)
    found = services.store.jobs.get(job_id)
    assert found is not None
    return found


def later(services: Services, job: Job, settles: float) -> float:
    """Return the time some settling times after the trigger of a job."""
    assert job.intent_at is not None
    return job.intent_at + settles * services.settings.uncertain_settle_s


def test_an_answer_that_came_in_between(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that gets its answer while another is reconciled keeps its generation, and competes no longer."""
    lost, answered = asked(services, "lost"), asked(services, "answered")
    answers = [Submitted(services.photogpt.trigger(job.kind, job.request)) for job in (lost, answered)]

    def answer_first(*arguments: Any) -> bool:
        services.store.jobs.mark_submitted(answered, answers[1], poll_after=60)
        return has_competitor(*arguments)

    monkeypatch.setattr("worker.steps.reconcile.has_competitor", answer_first)

    assert reconcile(services, lost, later(services, lost, 1)) == Reschedule(after=1.0)
    assert reconcile(services, lost, later(services, lost, 1)) == answers[0]


def test_an_answered_job_does_not_compete(services: Services, isolated_client: redis.Redis) -> None:
    """A job that is listed among the unresolved ones and has its answer by now delays no other job."""
    lost, answered = asked(services, "lost"), asked(services, "answered")
    services.photogpt.trigger(lost.kind, lost.request)
    isolated_client.hdel(keys.job(answered.id), "intent_at")
    assert isinstance(reconcile(services, lost, later(services, lost, 1)), Submitted)


def test_jobs_of_other_models_do_not_compete(services: Services, sandbox: SandboxProcess) -> None:
    """Two jobs of two models and a training lose their answers in the same second: both jobs find their generations."""
    sandbox.control.model("other", status="ready")
    first = asked(services, "first")
    second = asked(services, "second", request=image_request(duration_s=60) | {"modelID": "other"})
    asked(services, "training", Kind.TRAINING, request={"modelID": "third"})
    answers = [Submitted(services.photogpt.trigger(job.kind, job.request)) for job in (first, second)]
    assert [reconcile(services, job, later(services, second, 1)) for job in (first, second)] == answers


def test_a_later_trigger_does_not_compete(services: Services, isolated_client: redis.Redis) -> None:
    """A trigger that began after the list was read created nothing that the list shows."""
    lost, busy, new = asked(services, "lost"), asked(services, "busy"), asked(services, "new")
    answer = Submitted(services.photogpt.trigger(lost.kind, lost.request))
    isolated_client.zadd(keys.intents, {"new": later(services, new, 3)})
    isolated_client.hset(keys.job("new"), "intent_at", f"{later(services, new, 3):.6f}")
    assert isinstance(reconcile(services, lost, later(services, lost, 1)), Reschedule)
    services.store.lanes.reschedule(Lane.TRIGGERS, [(busy, Reschedule(after=1, clear_intent=True))])
    assert reconcile(services, lost, later(services, lost, 1)) == answer


def test_a_job_without_a_record_competes(services: Services, isolated_client: redis.Redis) -> None:
    """An unresolved trigger whose record is gone may have been of any model, so no job adopts its generation."""
    lost, _ = asked(services, "lost"), lose(services, "gone")
    isolated_client.delete(keys.job("gone"))
    isolated_client.zadd(keys.generations, {f"model:{lost.model_id}": services.store.clock()})
    decision = reconcile(services, lost, later(services, lost, 5))
    assert isinstance(decision, Finish)
    assert decision.result.reason is Reason.TRIGGER_UNCERTAIN


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ({"status": 500}, Reason.UNAVAILABLE),
        ({"status": 429}, Reason.RATE_LIMITED),
        ({"unauthorized": True}, Reason.UNAUTHORIZED),
    ],
)
def test_a_candidate_that_cannot_be_read_now(
    services: Services, sandbox: SandboxProcess, faults: Faults, action: dict[str, Any], reason: Reason
) -> None:
    """While the record of a candidate cannot be read, its job waits far beyond the settling time; then it adopts it."""
    services = replace(services, settings=services.settings.model_copy(update={"uncertain_settle_s": 0.05}))
    lost = replace(lose(services, "lost")[0], intent_at=services.store.clock() - 4)
    faults("getJobStatus", action, count=None)

    waiting = wait_until(
        lambda: (found := reconcile(services, lost, services.store.clock())).reason is reason and found,  # type: ignore[union-attr]
        "the candidate cannot be read",
    )
    sandbox.control.clear()
    adopted = wait_until(
        lambda: isinstance(found := reconcile(services, lost, services.store.clock()), Submitted) and found,
        "the candidate is read",
    )

    assert isinstance(waiting, Reschedule)
    assert not waiting.clear_intent
    assert adopted == Submitted(sandbox.control.generations()[0]["jobId"])


def test_a_candidate_that_is_not_found(services: Services, faults: Faults) -> None:
    """A listed generation that PhotoGPT does not show may be of any model: no job adopts it, or triggers again."""
    (lost,) = lose(services, "lost")
    faults("getJobStatus", {"not_found": True}, count=None)
    assert isinstance(reconcile(services, lost, later(services, lost, 1)), Reschedule)
    decision = reconcile(services, lost, later(services, lost, 5))
    assert isinstance(decision, Finish)
    assert decision.result.reason is Reason.TRIGGER_UNCERTAIN


def test_a_search_at_the_deadline(services: Services, faults: Faults) -> None:
    """A job whose search is not complete at its deadline ends up to one settling time later, or is found until then."""
    services = replace(services, settings=services.settings.model_copy(update={"api_call_deadline_s": 0.4}))
    lost = replace(lose(services, "lost")[0], deadline_at=services.store.clock() + 5)
    settle_s = services.settings.uncertain_settle_s
    faults("listJobs", {"status": 429, "retry_after": 1})

    waiting = trigger(services, lost, lost.deadline_at + 0.9 * settle_s)
    ended = trigger(services, lost, lost.deadline_at + settle_s)
    found = wait_until(
        lambda: isinstance(done := trigger(services, lost, lost.deadline_at), Submitted) and done, "the search ends"
    )

    assert isinstance(waiting, Reschedule)
    assert waiting.after == pytest.approx(0.1 * settle_s)
    assert isinstance(ended, Finish)
    assert ended.result.reason is Reason.DEADLINE_EXCEEDED
    assert not ended.outcome_known
    assert isinstance(found, Submitted)


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
    """While one thread searches, other jobs wait without a thread, and longer the more they are."""
    shared = SharedSearch()
    (job,) = lose(services, "lost")
    faults("listJobs", {"latency": 0.5})
    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(shared.result, services, *begun(services, job))
        wait_until(lambda: requests(sandbox)[0] == 1, "a thread searches")
        waits = [shared.result(services, *begun(services, job)) for _ in range(MAX_ASKS_PER_S + 1)]
        found = searching.result()
    assert waits[0] == search_interval_s(services) / 2
    assert waits[-1] == services.settings.uncertain_settle_s
    assert shared.result(services, *begun(services, job)) is found
    assert requests(sandbox) == (1, 1)


def test_generations_that_cannot_be_read(services: Services, sandbox: SandboxProcess, faults: Faults) -> None:
    """A search ends although a generation is not found and another cannot be read, and says why."""
    changed = replace(services, settings=services.settings.model_copy(update={"uncertain_settle_s": 0.1}))
    lose(changed, "first", "second", "third")
    missing, fine, broken = sorted(generation["jobId"] for generation in sandbox.control.generations())
    faults("getJobStatus", {"not_found": True}, count=None, id=missing)
    faults("getJobStatus", {"status": 500}, count=None, id=broken)

    at = changed.store.clock()
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
