"""Polling the list of jobs saves requests and decides nothing: a faulty list changes no outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import redis

from config.settings import Settings
from tests.conftest import image_request, make_worker_env, paid_generations
from tests.integration.api_faults.conftest import Faults, ended
from tests.running import Database, WorkerProcess, celery_app, keys
from tests.unit.factories import make_job
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.decision import Reschedule, Submitted
from worker.domain.durations import seconds_between
from worker.domain.job import Job
from worker.domain.lane import Lane
from worker.domain.list_poll import ListPollState, defer_s, expected_pages
from worker.sandbox.remote import SandboxProcess
from worker.services import Services, TaskPublisher, open_services
from worker.steps.list_poll import MAX_OVERRUN, list_poll
from worker.steps.poll import poll
from worker.store.list_poll import NAME, ListedGeneration
from worker.store.records import NO_UPDATE

INTERVAL_S = 0.4
MANY = 40
EARLY = 8  # jobs that end before the others; single polls of them can show that a list is wrong

StartWorker = Callable[..., WorkerProcess]
Middle = tuple[WorkerProcess, list[Any]]


@pytest.fixture(scope="module")
def list_polling_env(valkey: EmbeddedValkey, sandbox_process: SandboxProcess) -> dict[str, str]:
    """The environment of a worker with its own database that polls often."""
    return make_worker_env(valkey, sandbox_process) | {
        "PHOTOGPT_REDIS_URL": Database.LIST_POLLS.url(valkey.url),
        "PHOTOGPT_JOB_POLL_INTERVAL_S": str(INTERVAL_S),
        "PHOTOGPT_SCHEDULE": "fixed",
    }


@pytest.fixture(scope="module")
def module_worker(
    list_polling_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    """A worker that all tests of this module share."""
    running = WorkerProcess(list_polling_env, tmp_path_factory.mktemp("list-poller") / "worker.log").ready()
    yield running
    running.child.stop()


@pytest.fixture
def url(valkey: EmbeddedValkey, request: pytest.FixtureRequest) -> str:
    """The Redis URL; a test that starts its own workers gets a database without the shared worker."""
    alone = "start" in request.fixturenames
    return (Database.LIST_POLLS_ALONE if alone else Database.LIST_POLLS).url(valkey.url)


@pytest.fixture
def store_client(url: str, sandbox: SandboxProcess) -> Iterator[redis.Redis]:
    """A client of an empty database, with an empty sandbox."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.flushall()
        sandbox.control.reset()
        sandbox.control.clear()
        yield client


@pytest.fixture
def list_poller(store_client: redis.Redis, module_worker: WorkerProcess) -> WorkerProcess:
    """The shared worker, on an empty database."""
    del store_client
    return module_worker


@pytest.fixture
def enqueue(url: str) -> Iterator[Callable[..., list[Any]]]:
    """Enqueue many images at once."""
    with celery_app(url, url) as producer:

        def send(count: int, **sandbox: Any) -> list[Any]:
            request = image_request(**sandbox)
            return [producer.send_task("photogpt.generate_image", kwargs={"request": request}) for _ in range(count)]

        yield send


@pytest.fixture
def start(
    store_client: redis.Redis, url: str, list_polling_env: dict[str, str], tmp_path: Path
) -> Iterator[StartWorker]:
    """Start a worker of the test's own."""
    del store_client
    started: list[WorkerProcess] = []

    def begin(**changes: str) -> WorkerProcess:
        own = {"PHOTOGPT_REDIS_URL": url}
        env = list_polling_env | own | {f"PHOTOGPT_{name.upper()}": value for name, value in changes.items()}
        started.append(WorkerProcess(env, tmp_path / f"worker-{len(started)}.log").ready())
        return started[-1]

    yield begin
    for worker in started:
        worker.child.stop()


@pytest.fixture
def in_a_list_poll(
    sandbox: SandboxProcess, faults: Faults, enqueue: Callable[..., list[Any]], start: StartWorker
) -> Callable[[float], Middle]:
    """Start a worker with many jobs and return while it reads the list, whose pages take `latency_s` each."""

    def begin(latency_s: float) -> Middle:
        worker = start()
        faults("listJobs", {"latency": latency_s}, count=None)
        jobs = enqueue(MANY, duration_s=4)
        wait_until(lambda: pages_requested(sandbox) > 0, "list polling has begun")
        return worker, jobs

    return begin


def requests_of(sandbox: SandboxProcess) -> dict[str, int]:
    """Return how often each operation was requested."""
    counts: dict[str, int] = sandbox.control.state(lists=False)["requests"]
    return counts


def assert_all_end_well(sandbox: SandboxProcess, good: list[Any], bad: list[Any]) -> None:
    """Check that each job ended as its generation did, with its own images, and was paid once."""
    outcomes = [result.get(timeout=40) for result in good]
    assert {outcome["state"] for outcome in outcomes} <= {"succeeded"}
    assert len({image["id"] for outcome in outcomes for image in outcome["images"]}) == len(good)
    assert len({outcome["generation_id"] for outcome in outcomes}) == len(good)
    assert all(ended(result).startswith("generation_failed: ") for result in bad)
    assert paid_generations(sandbox) == len(good) + len(bad)


def pages_requested(sandbox: SandboxProcess) -> int:
    """Return how many pages of the list were requested."""
    return requests_of(sandbox).get("listJobs", 0)


BAD_LISTS: dict[str, dict[str, Any]] = {
    "shows changes late": {"list_lag_s": 1.0},
    "shows all as ended": {"list_lie": "success", "list_lie_fraction": 0.7},
    "shows unknown statuses": {"list_lie": "tumbled", "list_lie_fraction": 0.5},
    "omits jobs": {"list_omit": 0.5},
    "tiny pages, shuffled, that overlap": {"page_size": 3, "list_order": "shuffled", "list_repeat": 2},
    "one page, oldest first, null": {"page_size": 1000, "list_order": "oldest_first", "last_page": "null"},
    "answers 500": {"status": 500},
    "refuses the key": {"unauthorized": True},
}


@pytest.mark.usefixtures("list_poller")
@pytest.mark.parametrize("action", BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_bad_list(
    sandbox: SandboxProcess, faults: Faults, enqueue: Callable[..., list[Any]], action: dict[str, Any]
) -> None:
    """A faulty list of jobs changes the number of requests and no outcome."""
    faults("listJobs", action, count=None)
    sandbox.control.make(30, duration="60")  # generations of another client of the same key
    early, late = enqueue(EARLY, duration_s=0.6), enqueue(MANY, duration_s=2.5)
    bad = enqueue(4, duration_s=2, end="failed")
    assert all(result.get(timeout=40)["state"] == "succeeded" for result in early + late)
    assert all(ended(result).startswith("generation_failed: ") for result in bad)
    assert len({result.get()["generation_id"] for result in early + late}) == EARLY + MANY
    assert paid_generations(sandbox) == EARLY + MANY + len(bad) + 30
    assert pages_requested(sandbox) > 0


def test_a_list_that_hides_ends(
    sandbox: SandboxProcess, faults: Faults, enqueue: Callable[..., list[Any]], list_poller: WorkerProcess
) -> None:
    """A list that hides ended generations is detected by single polls and suspended, and no job waits for it."""
    before = len(list_poller.text())
    faults("listJobs", {"list_lie": "running"}, count=None)
    early = enqueue(EARLY, duration_s=0.3)
    assert all(result.get(timeout=40)["state"] == "succeeded" for result in early)
    late = enqueue(MANY, duration_s=3)
    wait_until(lambda: "list_poll.suspended" in list_poller.text()[before:], "the list is suspended")
    asked = pages_requested(sandbox)
    assert_all_end_well(sandbox, early + late, [])
    assert pages_requested(sandbox) <= asked + 3  # pages of the list poll that found the fault


def test_canceled_jobs_in_the_list(
    sandbox: SandboxProcess, store_client: redis.Redis, enqueue: Callable[..., list[Any]], list_poller: WorkerProcess
) -> None:
    """A list that still shows canceled jobs as running is not suspended for it."""
    before = len(list_poller.text())
    jobs = enqueue(MANY + 10, duration_s=12)
    wait_until(lambda: pages_requested(sandbox) > 0 and paid_generations(sandbox) == len(jobs), "list polling goes on")
    gone = jobs[:10]
    for canceling in [job.app.send_task("photogpt.cancel", args=[job.id]) for job in gone]:
        canceling.get(timeout=20)
    canceled_at = pages_requested(sandbox)
    wait_until(lambda: pages_requested(sandbox) > canceled_at + 12, "some more list polls")
    assert all(ended(job).startswith("canceled: ") for job in gone)
    assert store_client.hget(keys.list_poll(NAME), "suspended_until") in (None, "0.0")
    assert "list_poll.suspended" not in list_poller.text()[before:]
    assert {job.get(timeout=40)["state"] for job in jobs[10:]} == {"succeeded"}


@pytest.mark.usefixtures("list_poller")
def test_list_polling_saves_requests(sandbox: SandboxProcess, enqueue: Callable[..., list[Any]]) -> None:
    """List polling needs at most 8 requests a job where single polls would need about 15."""
    sandbox.control.options(page_size=50)
    jobs = enqueue(100, duration_s=6)
    assert_all_end_well(sandbox, jobs, [])
    counts = requests_of(sandbox)
    assert counts["listJobs"] >= 3
    assert counts["getJobStatus"] + counts["listJobs"] <= 8 * len(jobs)


def test_few_are_seen_often(sandbox: SandboxProcess, enqueue: Callable[..., list[Any]], start: StartWorker) -> None:
    """Few jobs are seen more often than at the interval, with fewer requests than 48 single polls."""
    start(schedule="learned", job_poll_interval_s="2", job_poll_floor_s="0.5")
    assert_all_end_well(sandbox, enqueue(8, duration_s=11), [])
    counts = requests_of(sandbox)
    assert counts["listJobs"] > 7
    assert counts["getJobStatus"] + counts["listJobs"] < 48


def test_list_polling_can_be_switched_off(
    sandbox: SandboxProcess, enqueue: Callable[..., list[Any]], start: StartWorker
) -> None:
    """With PHOTOGPT_LIST_POLLING=false the worker never requests the list."""
    start(list_polling="false")
    assert_all_end_well(sandbox, enqueue(MANY, duration_s=2.5), [])
    assert pages_requested(sandbox) == 0


def test_killed_in_the_middle(
    sandbox: SandboxProcess, store_client: redis.Redis, start: StartWorker, in_a_list_poll: Callable[[float], Middle]
) -> None:
    """After the worker that reads the list is killed, single polls go on and every job ends once."""
    first, jobs = in_a_list_poll(3)
    assert float(str(store_client.zscore(keys.lane(Lane.LIST_POLLS), NAME))) > 0
    start()
    first.kill()
    assert_all_end_well(sandbox, jobs, [])
    assert store_client.zcard(keys.lane(Lane.LIST_POLLS)) <= 1


def test_stopped_in_the_middle(
    sandbox: SandboxProcess, store_client: redis.Redis, start: StartWorker, in_a_list_poll: Callable[[float], Middle]
) -> None:
    """A list poll that SIGTERM interrupts is due again at once, not after its lease."""
    leaving, jobs = in_a_list_poll(1.5)
    leaving.stop()
    seconds, microseconds = store_client.time()
    assert float(str(store_client.zscore(keys.lane(Lane.LIST_POLLS), NAME))) <= seconds + microseconds / 1e6
    start()
    assert_all_end_well(sandbox, jobs, [])


def test_the_rate_holds(sandbox: SandboxProcess, enqueue: Callable[..., list[Any]], start: StartWorker) -> None:
    """Triggers, polls and list pages together stay below PHOTOGPT_MAX_REQUESTS_PER_S."""
    start(max_requests_per_s="30")
    began = sandbox.control.state(lists=False)["now"]
    jobs = enqueue(MANY, duration_s=3)
    assert_all_end_well(sandbox, jobs, [])
    counts = requests_of(sandbox)
    taken = seconds_passed(began, sandbox.control.state(lists=False)["now"])
    assert counts["listJobs"] > 0
    assert sum(counts.values()) <= 30 * (taken + 1) * 1.1


def accept_generations(services: Services, count: int, *, duration_s: float = 60) -> list[str]:
    """Trigger generations for new jobs as workers do, and return the ids of the jobs."""
    names = []
    for number in range(count):
        at = services.store.clock()
        request = image_request(duration_s=duration_s)
        job = make_job(id=f"job-{number}", request=request, created_at=at, deadline_at=at + 600)
        services.store.jobs.accept(job, digest="d", continuation="{}")
        assert services.store.jobs.record_intent(job)
        generation_id = services.photogpt.trigger(job.kind, request)
        services.store.jobs.mark_submitted(job, Submitted(generation_id), poll_after=0.1, must_poll_after=600)
        names.append(job.id)
    return names


@pytest.fixture
def services(isolated_client: redis.Redis, sandbox: SandboxProcess, isolated_settings: Settings) -> Iterator[Services]:
    """The clients of a worker process, without a worker."""
    del isolated_client, sandbox
    publisher = create_autospec(TaskPublisher, instance=True)
    publisher.progress.return_value = NO_UPDATE
    opened = open_services(isolated_settings, publisher)
    yield opened
    opened.close()


def test_only_changes_are_written(
    services: Services, isolated_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second list poll that shows nothing new reads the pages again and sends Redis no entry."""
    names = accept_generations(services, MANY)
    sent: list[int] = []
    apply_page = services.store.list_polls.apply_page

    def counted(entries: list[ListedGeneration], *, defer_s: float) -> tuple[int, list[Job]]:
        sent.append(len(entries))
        return apply_page(entries, defer_s=defer_s)

    monkeypatch.setattr(
        type(services.store.list_polls), "apply_page", lambda _, *args, **options: counted(*args, **options)
    )
    list_poll(services, ListPollState(id=NAME), services.store.clock())
    assert sum(sent) >= MANY - 5  # control samples are left to single polls
    due = [isolated_client.zscore(keys.lane(Lane.JOBS), name) for name in names]
    sent.clear()
    list_poll(services, ListPollState(id=NAME), services.store.clock())
    assert sum(sent) == 0
    assert [isolated_client.zscore(keys.lane(Lane.JOBS), name) for name in names] == due


def test_an_omitted_job_is_polled_singly(
    services: Services, sandbox: SandboxProcess, faults: Faults, isolated_client: redis.Redis
) -> None:
    """A job that the list omits keeps the time of its own poll, and a listed one waits three intervals at most."""
    names = accept_generations(services, MANY)
    faults("listJobs", {"list_omit": 0.5}, count=None)
    list_poll(services, ListPollState(id=NAME), services.store.clock())
    assert pages_requested(sandbox) > 0
    due = [float(str(isolated_client.zscore(keys.lane(Lane.JOBS), name))) - services.store.clock() for name in names]
    latest = defer_s(services.settings.job_poll_interval_s)
    assert max(due) <= latest
    assert sum(each <= 0.1 for each in due) >= 5


def test_a_list_that_stops_gives_jobs_back(
    services: Services, sandbox: SandboxProcess, faults: Faults, isolated_client: redis.Redis
) -> None:
    """When the list fails, every deferred job is polled singly within one interval."""
    names = accept_generations(services, MANY)
    list_poll(services, ListPollState(id=NAME), services.store.clock())
    faults("listJobs", {"status": 500}, count=None)
    list_poll(services, ListPollState(id=NAME, window_s=60.0), services.store.clock())
    assert pages_requested(sandbox) > 1
    due = [float(str(isolated_client.zscore(keys.lane(Lane.JOBS), name))) - services.store.clock() for name in names]
    assert max(due) <= services.settings.job_poll_interval_s


def test_429_pauses_and_gives_way(
    services: Services, sandbox: SandboxProcess, faults: Faults, isolated_client: redis.Redis
) -> None:
    """A 429 pauses polls as long as it asks, and a list that gets one starts no single polls of deferred jobs."""
    names = accept_generations(services, MANY)
    list_poll(services, ListPollState(id=NAME), services.store.clock())
    due = [isolated_client.zscore(keys.lane(Lane.JOBS), name) for name in names]
    faults("listJobs", {"status": 429, "retry_after": 2}, count=None)
    faults("getJobStatus", {"status": 429, "retry_after": 2}, count=None)
    list_poll(services, ListPollState(id=NAME, window_s=60.0), services.store.clock())
    assert pages_requested(sandbox) > 1
    assert [isolated_client.zscore(keys.lane(Lane.JOBS), name) for name in names] == due
    job = services.store.jobs.get(names[0])
    assert job is not None
    decision = poll(services, job, services.store.clock())
    assert isinstance(decision, Reschedule)
    assert (decision.after, decision.pause_lane) == (2, True)


def test_pages_that_cost_as_much_as_single_polls(
    services: Services, sandbox: SandboxProcess, isolated_client: redis.Redis
) -> None:
    """A list of one generation a page is read once, and no job waits longer than an interval since then."""
    names, interval_s = accept_generations(services, MANY), services.settings.job_poll_interval_s
    sandbox.control.options(page_size=1)
    list_poll(services, ListPollState(id=NAME), services.store.clock())
    read, known = pages_requested(sandbox), services.store.list_polls.state()
    assert known is not None
    assert read == MAX_OVERRUN * expected_pages(MANY, 0, ListPollState(id=NAME))
    for name in names:
        isolated_client.hset(keys.job(name), "accepted_at", services.store.clock() - 60)
    list_poll(services, replace(known, at=services.store.clock() - interval_s / 2), services.store.clock())
    assert pages_requested(sandbox) == read
    due = [float(str(isolated_client.zscore(keys.lane(Lane.JOBS), name))) - services.store.clock() for name in names]
    assert max(due) <= interval_s / 2


def test_a_window_with_gaps_is_read_to_its_end(
    services: Services, sandbox: SandboxProcess, isolated_client: redis.Redis
) -> None:
    """Parts of a window in which nothing was created do not end a list poll: they are no sign of small pages."""
    names = accept_generations(services, MANY)
    sandbox.control.options(page_size=2)
    for number, name in enumerate(names):  # so that the window is read in parts, and most of them are empty
        isolated_client.hincrbyfloat(keys.job(name), "accepted_at", -number)
    known = ListPollState(id=NAME, page_size=2.0)
    list_poll(services, known, services.store.clock())
    assert pages_requested(sandbox) > MANY / 2
    due = [float(str(isolated_client.zscore(keys.lane(Lane.JOBS), name))) - services.store.clock() for name in names]
    assert sum(each > services.settings.job_poll_interval_s for each in due) > MANY - 5


@pytest.mark.usefixtures("isolated_client")
def test_the_rate_of_ends_counts_the_time_of_reading(services: Services, sandbox: SandboxProcess) -> None:
    """Ends are counted from the start of one list poll to the start of the next, however long reading took."""
    accept_generations(services, MANY, duration_s=0.1)
    wait_until(lambda: len(sandbox.control.ends()) == MANY, "all generations have ended")
    at = services.store.clock()
    list_poll(services, ListPollState(id=NAME, window_s=60.0, seconds=9.5, at=at - 0.5), at)
    known = services.store.list_polls.state()
    assert known is not None
    assert known.ends_per_s == pytest.approx(MANY / 10 / 2, rel=0.2)


def seconds_passed(begin: str, end: str) -> float:
    """Return the seconds between two times of the sandbox's clock."""
    found = seconds_between(begin, end)
    assert found is not None
    return found
