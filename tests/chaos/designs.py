"""The two designs under test: how each is started, enqueued to, and audited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from tests.chaos import obvious
from tests.chaos.audit import Records
from tests.running import WorkerProcess, keys
from worker.domain.job import TASKS, Kind


class Ours:
    """This service: half of the jobs through the inbox, half by a bare `send_task`."""

    name = "ours"
    stream = "photogpt:events"

    def __init__(self, redis_url: str) -> None:
        """Create the client of the inbox and the bare producer."""
        self._client = redis.Redis.from_url(redis_url, decode_responses=True, socket_timeout=5)
        self._producer = Celery("producer", broker=redis_url, backend=redis_url, set_as_current=False)

    def worker(self, env: dict[str, str], log: Path) -> WorkerProcess:
        """Start a worker process."""
        return WorkerProcess(env, log)

    def enqueue(self, records: Records, number: int, kind: str, request: dict[str, Any], url: str) -> None:
        """Enqueue one job; raise if the job may not have been accepted."""
        if number % 2:
            job_id = f"bare-{number}"
            kwargs = {"request": request, "webhook_url": url}
            self._producer.send_task(TASKS[Kind(kind)], kwargs=kwargs, task_id=job_id, retry=False)
            records.sent.add(job_id)
        else:
            job_id = f"kept-{number}"
            job = {"id": job_id, "kind": kind, "request": request, "webhook_url": url}
            self._client.xadd(keys.inbox, {"job": json.dumps(job)})
            records.accepted.add(job_id)

    @staticmethod
    def name_of(number: int) -> str:
        """Return the id of a job by its number."""
        return f"bare-{number}" if number % 2 else f"kept-{number}"

    def read(self, records: Records, client: redis.Redis) -> None:
        """Read the job records and the stream of events."""
        for key in client.scan_iter("photogpt:job:{*}", _type="hash", count=1000):
            record: Any = client.hgetall(key)
            records.states[record["id"]] = record["state"]
            records.reasons[record["id"]] = record.get("reason", "")
            if "published_at" in record:
                records.published.add(record["id"])
        records.read_events(client, self.stream)
        records.read_totals(client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._producer.close()


class Obvious:
    """One task per job with `self.retry`; every job is enqueued by a bare `send_task`."""

    name = "obvious"
    stream = obvious.STREAM

    def __init__(self, redis_url: str) -> None:
        """Create the producer."""
        self._producer = Celery("producer", broker=redis_url, backend=redis_url, set_as_current=False)

    def worker(self, env: dict[str, str], log: Path) -> WorkerProcess:
        """Start a worker process."""
        return obvious.ObviousWorker(env, log)

    def enqueue(self, records: Records, number: int, kind: str, request: dict[str, Any], url: str) -> None:
        """Enqueue one job; raise if the job may not have been accepted."""
        job_id = self.name_of(number)
        kwargs = {"kind": kind, "request": request, "webhook_url": url}
        self._producer.send_task("obvious.generate", kwargs=kwargs, task_id=job_id, retry=False)
        records.accepted.add(job_id)

    @staticmethod
    def name_of(number: int) -> str:
        """Return the id of a job by its number."""
        return f"job-{number}"

    def read(self, records: Records, client: redis.Redis) -> None:
        """Read Celery's results, the only records of this design, and the audit's stream."""
        for job_id in records.accepted:
            stored: Any = client.get(f"celery-task-meta-{job_id}")
            status = json.loads(stored)["status"] if stored else "PENDING"
            state = {"SUCCESS": "succeeded", "FAILURE": "failed"}.get(status)
            if state:
                records.states[job_id] = state
                records.published.add(job_id)
        records.read_events(client, self.stream)

    def close(self) -> None:
        """Close the connections."""
        self._producer.close()


Design = Ours | Obvious
DESIGNS: dict[str, type[Design]] = {"ours": Ours, "obvious": Obvious}
