"""The designs that are compared, each started as by its operator and enqueued to as by its producer."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from celery import Celery

from ops.bench.loader import load
from ops.bench.machine import cpu_s, resident
from ops.bench.stage import REQUEST, Stage, wait
from worker.cli.local.processes import Child

START_S = 60.0
ENDED = frozenset({"SUCCESS", "FAILURE"})
THREADS = 16


class Peer(ABC):
    """One design on one stage. Only its own processes are measured."""

    name: ClassVar[str]

    def __init__(self, stage: Stage, *, interval: float | None = None, **settings: object) -> None:
        """Take the stage, and environment variables beyond it."""
        self.stage = stage
        self.interval = interval or stage.plan.interval
        self._settings = settings
        self.log = stage.folder / f"{self.name}.log"
        self.child: Child | None = None

    @abstractmethod
    def start(self, jobs: int = 0) -> None:
        """Start the process and wait until it is ready for this many jobs."""

    @abstractmethod
    def enqueue(self, jobs: int) -> None:
        """Enqueue this many image jobs at once."""

    @abstractmethod
    def finished(self) -> int:
        """Return the number of jobs whose result the producer can read."""

    def cpu_s(self) -> float:
        """Return the CPU seconds used so far."""
        return cpu_s(self._running().pid)

    def resident(self) -> int:
        """Return the resident bytes."""
        return resident(self._running().pid)

    def stop(self) -> None:
        """Kill the process: its unfinished work does not matter."""
        if self.child is not None:
            self.child.kill()

    def _running(self) -> Child:
        if self.child is None or self.child.exit_code is not None:
            raise RuntimeError(f"{self.name} does not run; its log is {self.log}")
        return self.child

    def _logged(self, word: str) -> bool:
        self._running()
        return word in self.log.read_text()

    def _launch(self, module: str, *arguments: str, **env: object) -> None:
        argv = [sys.executable, "-m", module, *arguments]
        self.child = Child(self.name, argv, env=self.stage.env(**env, **self._settings), log=self.log)


class OnCelery(Peer):
    """A design whose producers send Celery tasks and read their results."""

    task: ClassVar[str]

    def __init__(self, stage: Stage, *, interval: float | None = None, **settings: object) -> None:
        """Create the producer's app, which imports nothing of the design."""
        super().__init__(stage, interval=interval, **settings)
        self._producer = Celery("producer", broker=stage.redis_url, backend=stage.redis_url, set_as_current=False)
        self._pending: list[str] = []
        self._finished = 0

    def enqueue(self, jobs: int) -> None:
        """Send this many tasks."""
        for _ in range(jobs):
            self._send(self.task, request=REQUEST)

    def finished(self) -> int:
        """Read the missing results and return the number of all."""
        left: list[str] = []
        for first in range(0, len(self._pending), 500):
            part = self._pending[first : first + 500]
            stored: Any = self.stage.redis.mget([f"celery-task-meta-{job_id}" for job_id in part])
            found = zip(part, stored, strict=True)
            left += [job_id for job_id, raw in found if not raw or json.loads(raw)["status"] not in ENDED]
        self._finished += len(self._pending) - len(left)
        self._pending = left
        return self._finished

    @abstractmethod
    def take_over(self, generation_ids: list[str]) -> set[str]:
        """Put existing generations in flight; return those that are."""

    def _answers(self) -> None:
        def answers() -> bool:
            self._running()
            return bool(self._producer.control.ping(timeout=0.5))

        wait(answers, START_S, f"{self.name} answers")

    def _send(self, task: str, **kwargs: object) -> None:
        self._pending.append(str(self._producer.send_task(task, kwargs=kwargs).id))

    def stop(self) -> None:
        """Kill the process and close the producer."""
        super().stop()
        self._producer.close()


class Ours(OnCelery):
    """`photogpt-worker worker`, one process unless the plan says more."""

    name = "ours"
    task = "photogpt.generate_image"
    other_workers: tuple[Child, ...] = ()

    def start(self, jobs: int = 0) -> None:
        """Start workers with default settings except interval and log level, which both designs share."""
        del jobs
        started: list[Child] = []
        for _ in range(self.stage.plan.workers):
            self._launch("worker.cli.main", "worker", PHOTOGPT_JOB_POLL_INTERVAL_S=self.interval)
            started += [self._running()]
        self.other_workers = tuple(started[:-1])
        wait(self._all_answer, START_S, f"{len(started)} workers answer")

    def _all_answer(self) -> bool:
        return len(self._producer.control.ping(timeout=0.5) or ()) == self.stage.plan.workers

    def each_cpu_s(self) -> list[float]:
        """Return the CPU seconds of each process."""
        return [cpu_s(child.pid) for child in (self._running(), *self.other_workers)]

    def cpu_s(self) -> float:
        """Return the CPU seconds of all processes."""
        return sum(self.each_cpu_s())

    def stop(self) -> None:
        """Kill all processes and close the producer."""
        for child in self.other_workers:
            child.kill()
        super().stop()

    def train(self, model_id: str) -> None:
        """Enqueue a training."""
        self._send("photogpt.train_model", request={"modelID": model_id})

    def take_over(self, generation_ids: list[str]) -> set[str]:
        """Write the jobs to Redis as a worker would have."""
        seed = self.stage.plan.seed
        return load(self.stage.redis_url, generation_ids, interval=self.interval, seed=seed)


class Obvious(OnCelery):
    """One Celery task per job, `self.retry(countdown=…)`; see `retrying.py`."""

    name = "obvious"
    task = "retrying.generate"

    def start(self, jobs: int = 0) -> None:
        """Start a Celery worker with as many threads as ours."""
        del jobs
        options = ["--pool=threads", f"--concurrency={THREADS}", "--loglevel=WARNING"]
        options += ["--without-gossip", "--without-mingle"]
        self._launch("celery", "-A", "ops.bench.retrying", "worker", *options, BENCH_INTERVAL_S=self.interval)
        self._answers()

    def take_over(self, generation_ids: list[str]) -> set[str]:
        """Send a task per generation, spread over one interval so that their polls are spread too."""
        ids = random.Random(self.stage.plan.seed).sample(generation_ids, len(generation_ids))
        began = time.monotonic()
        for number, generation_id in enumerate(ids):
            self._send(self.task, request=REQUEST, generation_id=generation_id)
            time.sleep(max(0.0, began + self.interval * number / len(ids) - time.monotonic()))
        return set(ids)


class Vendor(Peer):
    """The vendor's `wait_for_job` in a thread for each job; see `waiting.py`."""

    name = "vendor"
    _jobs = 0

    def start(self, jobs: int = 0) -> None:
        """Start the process and wait until it is ready for this many jobs."""
        self._jobs = jobs
        self._launch("ops.bench.waiting", str(jobs), str(self.interval))
        wait(lambda: self._logged("ready"), START_S, f"{self.name} is ready")

    def enqueue(self, jobs: int) -> None:
        """Signal the process to start its jobs."""
        del jobs
        self._running().send_signal(signal.SIGUSR1)

    def finished(self) -> int:
        """Return all jobs once the process prints `done`, before that 0."""
        return self._jobs if self._logged("done") else 0


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Ours, Obvious, Vendor)}


def celery_peer(name: str, stage: Stage, **options: Any) -> OnCelery:
    """Return a design on a stage that can take over generations in flight; `options` as its class takes them."""
    design = PEERS[name]
    if not issubclass(design, OnCelery):
        raise TypeError(f"{name} cannot take over generations in flight")
    return design(stage, **options)
