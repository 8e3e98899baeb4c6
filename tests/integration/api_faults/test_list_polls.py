"""The list of jobs saves requests and decides nothing: whatever is wrong with it, every job ends as it should, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import redis
from celery import Celery

from config.settings import Settings
from tests.conftest import image_request, make_worker_env, paid_generations
from tests.integration.api_faults.conftest import Faults, ended
from tests.running import WorkerProcess
from tests.unit.factories import make_job
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.decision import Submitted
from worker.domain.durations import between
from worker.domain.list_poll import SETTLING, ListPollState
from worker.domain.poll_schedule import Limits, fixed
from worker.sandbox.remote import SandboxProcess
from worker.services import TaskPublisher, open_services
from worker.steps.list_poll import list_poll
from worker.store import keys
from worker.store.keys import Lane
from worker.store.list_poll import NAME

INTERVAL_S = 0.4
LIMITS = Limits(interval_s=INTERVAL_S, floor_s=INTERVAL_S, ceiling_s=INTERVAL_S)
MANY = 40  # twice what it takes for anybody to think of a sweep
EARLY = 8  # that end before the others: where looks of their own showed it, they bear witness against a list

Sweeper = Callable[..., WorkerProcess]
Middle = tuple[WorkerProcess, list[Any]]


@pytest.fixture(scope="module")
def sweeping(valkey: EmbeddedValkey, sandbox_process: SandboxProcess) -> dict[str, str]:
    """What a worker is told that has a database of its own, and looks often."""
    return make_worker_env(valkey, sandbox_process) | {
        "PHOTOGPT_REDIS_URL": valkey.url.replace("/0", "/4"),
        "PHOTOGPT_JOB_POLL_INTERVAL_S": str(INTERVAL_S),
        "PHOTOGPT_SCHEDULE": "fixed",
    }


@pytest.fixture(scope="module")
def module_worker(sweeping: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker for those who do it no harm."""
    running = WorkerProcess(sweeping, tmp_path_factory.mktemp("sweeper") / "worker.log").ready()
    yield running
    running.child.stop()


@pytest.fixture
def url(sweeping: dict[str, str], request: pytest.FixtureRequest) -> str:
    """Where the ledger is: workers of one's own share none with the others' worker."""
    shared = sweeping["PHOTOGPT_REDIS_URL"]
    return shared.replace("/4", "/5") if "start" in request.fixturenames else shared


@pytest.fixture
def ledger(url: str, sandbox: SandboxProcess) -> Iterator[redis.Redis]:
    """A client of the ledger, next to an empty sandbox; what other tests left to their worker is gone, too."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.flushall()
        sandbox.control.reset()
        sandbox.control.clear()
        yield client


@pytest.fixture
def sweeper(ledger: redis.Redis, module_worker: WorkerProcess) -> WorkerProcess:
    """The worker, on an empty ledger."""
    del ledger
    return module_worker


@pytest.fixture
def enqueue(url: str) -> Iterator[Callable[..., list[Any]]]:
    """Enqueue many images at once."""
    producer = Celery("somebody-else", broker=url, backend=url, set_as_current=False)

    def send(count: int, **sandbox: Any) -> list[Any]:
        request = image_request(**sandbox)
        return [producer.send_task("photogpt.generate_image", kwargs={"request": request}) for _ in range(count)]

    yield send
    producer.close()


@pytest.fixture
def start(ledger: redis.Redis, url: str, sweeping: dict[str, str], tmp_path: Path) -> Iterator[Sweeper]:
    """Start a worker of one's own."""
    del ledger
    started: list[WorkerProcess] = []

    def begin(**changes: str) -> WorkerProcess:
        own = {"PHOTOGPT_REDIS_URL": url}
        env = sweeping | own | {f"PHOTOGPT_{name.upper()}": value for name, value in changes.items()}
        started.append(WorkerProcess(env, tmp_path / f"worker-{len(started)}.log").ready())
        return started[-1]

    yield begin
    for worker in started:
        worker.child.stop()


@pytest.fixture
def in_a_sweep(
    sandbox: SandboxProcess, faults: Faults, enqueue: Callable[..., list[Any]], start: Sweeper
) -> Callable[[float], Middle]:
    """Let a worker of one's own have many jobs, and be in the middle of a sweep whose pages take so many seconds."""

    def begin(latency_s: float) -> Middle:
        worker = start()
        faults("listJobs", {"latency": latency_s}, count=None)
        jobs = enqueue(MANY, duration_s=4)
        wait_until(lambda: page_result(sandbox) > 0, "a sweep has begun")
        return worker, jobs

    return begin


def requests_of(sandbox: SandboxProcess) -> dict[str, int]:
    """Return how often each operation was asked for."""
    counts: dict[str, int] = sandbox.control.state(lists=False)["requests"]
    return counts


def all_end_well(sandbox: SandboxProcess, good: list[Any], bad: list[Any]) -> None:
    """Each as PhotoGPT had it end, with an image of its own generation, and each paid once."""
    outcomes = [result.get(timeout=40) for result in good]
    assert {outcome["state"] for outcome in outcomes} <= {"succeeded"}
    assert all(outcome["images"] for outcome in outcomes)
    assert len({outcome["generation_id"] for outcome in outcomes}) == len(good)
    assert all(ended(result).startswith("generation_failed: ") for result in bad)
    assert paid_generations(sandbox) == len(good) + len(bad)


def page_result(sandbox: SandboxProcess) -> int:
    """Return how often the list was asked for."""
    return requests_of(sandbox).get("listJobs", 0)


BAD_LISTS: dict[str, dict[str, Any]] = {
    "lags": {"list_lag_s": 1.0},
    "says all have ended": {"list_lie": "success", "list_lie_fraction": 0.7},
    "unheard-of statuses": {"list_lie": "tumbled", "list_lie_fraction": 0.5},
    "omits": {"list_omit": 0.5},
    "tiny pages, shuffled, that overlap": {"page_size": 3, "list_order": "shuffled", "list_repeat": 2},
    "one page, oldest first, null": {"page_size": 1000, "list_order": "oldest_first", "last_page": "null"},
    "breaks": {"status": 500},
    "takes no key": {"unauthorized": True},
}


@pytest.mark.usefixtures("sweeper")
@pytest.mark.parametrize("action", BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_bad_list(
    sandbox: SandboxProcess, faults: Faults, enqueue: Callable[..., list[Any]], action: dict[str, Any]
) -> None:
    """It was asked for, and changed nothing but the number of requests."""
    faults("listJobs", action, count=None)
    sandbox.control.make(30, duration="60")  # somebody else's
    early, late = enqueue(EARLY, duration_s=0.6), enqueue(MANY, duration_s=2.5)
    bad = enqueue(4, duration_s=2, end="failed")
    assert all(result.get(timeout=40)["state"] == "succeeded" for result in early + late)
    assert all(ended(result).startswith("generation_failed: ") for result in bad)
    assert len({result.get()["generation_id"] for result in early + late}) == EARLY + MANY
    assert paid_generations(sandbox) == EARLY + MANY + len(bad) + 30
    assert page_result(sandbox) > 0


def test_a_list_that_hides_ends(
    sandbox: SandboxProcess, faults: Faults, enqueue: Callable[..., list[Any]], sweeper: WorkerProcess
) -> None:
    """It is found out by what was seen singly, and not used for a while; nobody waits for it."""
    before = len(sweeper.text())
    faults("listJobs", {"list_lie": "running"}, count=None)
    early = enqueue(EARLY, duration_s=0.3)
    assert all(result.get(timeout=40)["state"] == "succeeded" for result in early)
    late = enqueue(MANY, duration_s=3)
    wait_until(lambda: "list_poll.suspended" in sweeper.text()[before:], "the list is found out")
    asked = page_result(sandbox)
    all_end_well(sandbox, early + late, [])
    assert page_result(sandbox) <= asked + 3  # those of the sweep that found it out


def test_canceling_makes_no_liar(
    sandbox: SandboxProcess, ledger: redis.Redis, enqueue: Callable[..., list[Any]], sweeper: WorkerProcess
) -> None:
    """PhotoGPT goes on with what was canceled here, and its list says so."""
    before = len(sweeper.text())
    jobs = enqueue(MANY + 10, duration_s=6)
    wait_until(lambda: page_result(sandbox) > 0 and paid_generations(sandbox) == len(jobs), "sweeps go on")
    gone = jobs[:10]
    for job in gone:
        job.app.send_task("photogpt.cancel", args=[job.id]).get(timeout=20)
    canceled_at = page_result(sandbox)
    wait_until(lambda: page_result(sandbox) > canceled_at + 12, "some more sweeps")
    assert all(ended(job).startswith("canceled: ") for job in gone)
    assert ledger.hget(keys.list_poll(NAME), "suspensions") in (None, "0")
    assert "list_poll.suspended" not in sweeper.text()[before:]
    assert {job.get(timeout=40)["state"] for job in jobs[10:]} == {"succeeded"}  # and nothing is left for the next test


@pytest.mark.usefixtures("sweeper")
def test_a_sweep_saves_requests(sandbox: SandboxProcess, enqueue: Callable[..., list[Any]]) -> None:
    """One look tells each end; the waiting in between is the list's. Singly it takes some 15 looks a job."""
    sandbox.control.options(page_size=50)
    jobs = enqueue(100, duration_s=6)
    all_end_well(sandbox, jobs, [])
    counts = requests_of(sandbox)
    assert counts["listJobs"] >= 3
    assert counts["getJobStatus"] + counts["listJobs"] <= 8 * len(jobs)


def test_few_are_seen_often(
    sandbox: SandboxProcess, ledger: redis.Redis, enqueue: Callable[..., list[Any]], start: Sweeper
) -> None:
    """More often than at the interval, for less than single looks at the interval: those would be 48."""
    ledger.hset(keys.list_poll(NAME), mapping={"id": NAME, "confirmed": SETTLING})
    start(schedule="learned", job_poll_interval_s="2", job_poll_floor_s="0.5")
    all_end_well(sandbox, enqueue(8, duration_s=11), [])
    counts = requests_of(sandbox)
    assert counts["listJobs"] > 7
    assert counts["getJobStatus"] + counts["listJobs"] < 48


def test_no_sweep_if_told_so(sandbox: SandboxProcess, enqueue: Callable[..., list[Any]], start: Sweeper) -> None:
    """`PHOTOGPT_LIST_POLLING=false`."""
    start(list_poll="false")
    all_end_well(sandbox, enqueue(MANY, duration_s=2.5), [])
    assert page_result(sandbox) == 0


def test_killed_in_the_middle(
    sandbox: SandboxProcess, ledger: redis.Redis, start: Sweeper, in_a_sweep: Callable[[float], Middle]
) -> None:
    """Of two workers one sweeps at a time; if it dies over it, single looks go on, and all end once."""
    first, jobs = in_a_sweep(3)
    assert float(str(ledger.zscore(keys.lane(Lane.LIST_POLLS), NAME))) > 0
    start()
    first.kill()
    all_end_well(sandbox, jobs, [])
    assert ledger.zcard(keys.lane(Lane.LIST_POLLS)) <= 1


def test_stopped_in_the_middle(
    sandbox: SandboxProcess, ledger: redis.Redis, start: Sweeper, in_a_sweep: Callable[[float], Middle]
) -> None:
    """The next worker may sweep at once: what SIGTERM breaks off is not held for its lease."""
    leaving, jobs = in_a_sweep(1.5)
    leaving.stop()
    seconds, microseconds = ledger.time()
    assert float(str(ledger.zscore(keys.lane(Lane.LIST_POLLS), NAME))) <= seconds + microseconds / 1e6
    start()
    all_end_well(sandbox, jobs, [])


def test_the_rate_holds(sandbox: SandboxProcess, enqueue: Callable[..., list[Any]], start: Sweeper) -> None:
    """Triggers, looks and pages together."""
    start(max_requests_per_s="30")
    began = sandbox.control.state(lists=False)["now"]
    jobs = enqueue(MANY, duration_s=3)
    all_end_well(sandbox, jobs, [])
    counts = requests_of(sandbox)
    taken = seconds_between(began, sandbox.control.state(lists=False)["now"])
    assert counts["listJobs"] > 0
    assert sum(counts.values()) <= 30 * (taken + 1) * 1.1


def test_all_are_too_young(sandbox: SandboxProcess, client: redis.Redis, settings: Settings) -> None:
    """Nobody expects an end among them: no window that ends before it begins is asked for, and nothing is learned."""
    services = open_services(settings, create_autospec(TaskPublisher, instance=True))
    services.store.schedules._known["image:nanobanana"] = time.monotonic(), replace(fixed(LIMITS), min_duration_s=60)
    for number in range(MANY):
        at = services.store.clock()
        job = make_job(id=f"job-{number}", created_at=at, deadline_at=at + 600)
        services.store.jobs.accept(job, digest="d", continuation="{}")
        assert services.store.jobs.record_intent(job)
        services.store.jobs.mark_submitted(job, Submitted(f"g-{number}"), poll_after=60, p95_duration_s=600)
    known = ListPollState(id=NAME, density=2.5, offset_s=0.0)
    list_poll(services, known, services.store.clock())
    services.close()
    assert page_result(sandbox) == 0
    assert client.hmget(keys.list_poll(NAME), ["density", "pages", "broken"]) == ["2.5", "0", "0"]
    assert client.zscore(keys.lane(Lane.LIST_POLLS), NAME) is not None  # it is asked again


def seconds_between(begin: str, end: str) -> float:
    """Return how much time has passed by the sandbox' clock."""
    found = between(begin, end)
    assert found is not None
    return found
