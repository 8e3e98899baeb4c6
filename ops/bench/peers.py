"""The designs that are compared, each started as its operator would and enqueued to as its producer would."""

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
    """One design on one stage. Its process is measured, and nothing else."""

    name: ClassVar[str]

    def __init__(self, stage: Stage, *, interval: float | None = None, **settings: object) -> None:
        """Take the stage, and what the environment says beyond it."""
        self.stage = stage
        self.interval = interval or stage.plan.interval
        self._settings = settings
        self.log = stage.folder / f"{self.name}.log"
        self.child: Child | None = None

    @abstractmethod
    def start(self, jobs: int = 0) -> None:
        """Start the process and wait until it takes work; `jobs` says how much there will be."""

    @abstractmethod
    def enqueue(self, jobs: int) -> None:
        """Ask for so many images at once."""

    @abstractmethod
    def finished(self) -> int:
        """Return how many of the jobs have ended and told their producer."""

    def cpu_s(self) -> float:
        """Return the processor seconds used so far."""
        return cpu_s(self._running().pid)

    def resident(self) -> int:
        """Return the bytes of memory held."""
        return resident(self._running().pid)

    def stop(self) -> None:
        """End the process. What it still waits for is of no interest, so it is not asked to finish."""
        if self.child is not None:
            self.child.kill()

    def _running(self) -> Child:
        if self.child is None or self.child.exit_code is not None:
            raise RuntimeError(f"{self.name} does not run; its log is {self.log}")
        return self.child

    def _said(self, word: str) -> bool:
        self._running()
        return word in self.log.read_text()

    def _launch(self, module: str, *arguments: str, **env: object) -> None:
        argv = [sys.executable, "-m", module, *arguments]
        self.child = Child(self.name, argv, env=self.stage.env(**env, **self._settings), log=self.log)


class OnCelery(Peer):
    """A design whose producers send a Celery task and read its result."""

    task: ClassVar[str]

    def __init__(self, stage: Stage, *, interval: float | None = None, **settings: object) -> None:
        """Open the producer's own app: it imports nothing of the design."""
        super().__init__(stage, interval=interval, **settings)
        self._producer = Celery("producer", broker=stage.redis_url, backend=stage.redis_url, set_as_current=False)
        self._pending: list[str] = []
        self._finished = 0

    def enqueue(self, jobs: int) -> None:
        """Send so many tasks."""
        for _ in range(jobs):
            self._send(self.task, request=REQUEST)

    def finished(self) -> int:
        """Read the results of those that had none before."""
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
    def watch(self, generation_ids: list[str]) -> set[str]:
        """Look after generations that exist already; return those that are looked after."""

    def _answers(self) -> None:
        def answers() -> bool:
            self._running()
            return bool(self._producer.control.ping(timeout=0.5))

        wait(answers, START_S, f"{self.name} answers")

    def _send(self, task: str, **kwargs: object) -> None:
        self._pending.append(str(self._producer.send_task(task, kwargs=kwargs).id))

    def stop(self) -> None:
        """End the process and the producer."""
        super().stop()
        self._producer.close()


class Ours(OnCelery):
    """`photogpt-worker worker`, one process unless the plan says more."""

    name = "ours"
    task = "photogpt.generate_image"
    others: tuple[Child, ...] = ()

    def start(self, jobs: int = 0) -> None:
        """Start a worker as it comes; it is told the interval, and to log warnings only, as the other one does."""
        del jobs
        started: list[Child] = []
        for _ in range(self.stage.plan.workers):
            self._launch("worker.cli.main", "worker", PHOTOGPT_JOB_POLL_INTERVAL_S=self.interval)
            started += [self._running()]
        self.others = tuple(started[:-1])
        wait(self._all_answer, START_S, f"{len(started)} workers answer")

    def _all_answer(self) -> bool:
        return len(self._producer.control.ping(timeout=0.5) or ()) == self.stage.plan.workers

    def each_cpu_s(self) -> list[float]:
        """Return the processor seconds of every process."""
        return [cpu_s(child.pid) for child in (self._running(), *self.others)]

    def cpu_s(self) -> float:
        """Return the processor seconds of all processes."""
        return sum(self.each_cpu_s())

    def stop(self) -> None:
        """End all processes and the producer."""
        for child in self.others:
            child.kill()
        super().stop()

    def train(self, model_id: str) -> None:
        """Ask for a training."""
        self._send("photogpt.train_model", request={"modelID": model_id})

    def watch(self, generation_ids: list[str]) -> set[str]:
        """Write the jobs to the ledger as a worker would have."""
        seed = self.stage.plan.seed
        return load(self.stage.redis_url, generation_ids, interval=self.interval, seed=seed)


class Obvious(OnCelery):
    """One Celery task per job, `self.retry(countdown=…)`; see `retrying.py`."""

    name = "obvious"
    task = "retrying.generate"

    def start(self, jobs: int = 0) -> None:
        """Start a Celery worker with as many threads as ours has."""
        del jobs
        options = ["--pool=threads", f"--concurrency={THREADS}", "--loglevel=WARNING"]
        options += ["--without-gossip", "--without-mingle"]
        self._launch("celery", "-A", "ops.bench.retrying", "worker", *options, BENCH_INTERVAL_S=self.interval)
        self._answers()

    def watch(self, generation_ids: list[str]) -> set[str]:
        """Send a task for each, over one interval, so that their looks do not fall on one moment."""
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
        """Start the process, up to the point where it begins with so many jobs."""
        self._jobs = jobs
        self._launch("ops.bench.waiting", str(jobs), str(self.interval))
        wait(lambda: self._said("ready"), START_S, f"{self.name} is ready")

    def enqueue(self, jobs: int) -> None:
        """Give the sign to begin with those that it was started for."""
        del jobs
        self._running().send_signal(signal.SIGUSR1)

    def finished(self) -> int:
        """All, or as good as none."""
        return self._jobs if self._said("done") else 0


PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (Ours, Obvious, Vendor)}
