"""The two designs that chaos is done to: how each is started, enqueued to, and audited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from config.settings import load_settings
from tests.chaos import obvious
from tests.chaos.books import Books
from tests.running import WorkerProcess
from worker.client import Client
from worker.domain.job import TASKS, Kind


class Ours:
    """The service as it is: half of the jobs through our client, half by a bare `send_task`."""

    name = "ours"
    stream = "photogpt:events"

    def __init__(self, redis_url: str) -> None:
        """Open the two ways to enqueue."""
        self._client = Client(settings=load_settings(redis_url=redis_url))
        self._producer = Celery("somebody-else", broker=redis_url, backend=redis_url, set_as_current=False)

    def worker(self, env: dict[str, str], log: Path) -> WorkerProcess:
        """Start a worker process."""
        return WorkerProcess(env, log)

    def enqueue(self, books: Books, number: int, kind: str, request: dict[str, Any], url: str) -> None:
        """Enqueue one job; raises if it may not have been taken."""
        if number % 2:
            job_id = f"bare-{number}"
            kwargs = {"request": request, "webhook_url": url}
            self._producer.send_task(TASKS[Kind(kind)], kwargs=kwargs, task_id=job_id, retry=False)
            books.default_continuation.add(job_id)
        else:
            job_id = f"kept-{number}"
            self._client.submit(kind, request, job_id=job_id, webhook_url=url)
            books.accepted.add(job_id)

    @staticmethod
    def name_of(number: int) -> str:
        """Return the id of a job by its number."""
        return f"bare-{number}" if number % 2 else f"kept-{number}"

    def read(self, books: Books, client: redis.Redis) -> None:
        """Read the ledger and the stream of events."""
        for key in client.scan_iter("photogpt:job:{*}", _type="hash", count=1000):
            record: Any = client.hgetall(key)
            books.ledger[record["id"]] = record["state"]
            books.reasons[record["id"]] = record.get("reason", "")
            if "published_at" in record:
                books.published.add(record["id"])
        books.read_events(client, self.stream)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._producer.close()


class Obvious:
    """One task per job, with `self.retry`: every job is enqueued by a bare `send_task`, as there is nothing else."""

    name = "obvious"
    stream = obvious.STREAM

    def __init__(self, redis_url: str) -> None:
        """Open the way to enqueue."""
        self._producer = Celery("somebody-else", broker=redis_url, backend=redis_url, set_as_current=False)

    def worker(self, env: dict[str, str], log: Path) -> WorkerProcess:
        """Start a worker process."""
        return obvious.ObviousWorker(env, log)

    def enqueue(self, books: Books, number: int, kind: str, request: dict[str, Any], url: str) -> None:
        """Enqueue one job; raises if it may not have been taken."""
        job_id = self.name_of(number)
        kwargs = {"kind": kind, "request": request, "webhook_url": url}
        self._producer.send_task("obvious.generate", kwargs=kwargs, task_id=job_id, retry=False)
        books.accepted.add(job_id)

    @staticmethod
    def name_of(number: int) -> str:
        """Return the id of a job by its number."""
        return f"job-{number}"

    def read(self, books: Books, client: redis.Redis) -> None:
        """Read Celery's results, which are all the ledger there is, and the stream of the audit."""
        for job_id in books.accepted:
            stored: Any = client.get(f"celery-task-meta-{job_id}")
            status = json.loads(stored)["status"] if stored else "PENDING"
            state = {"SUCCESS": "succeeded", "FAILURE": "failed"}.get(status)
            if state:
                books.ledger[job_id] = state
                books.published.add(job_id)
        books.read_events(client, self.stream)

    def close(self) -> None:
        """Close the connections."""
        self._producer.close()


Design = Ours | Obvious
DESIGNS: dict[str, type[Design]] = {"ours": Ours, "obvious": Obvious}
