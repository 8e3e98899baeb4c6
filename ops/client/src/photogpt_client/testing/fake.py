"""The service without processes, in memory: the real client on a transport that behaves like inbox and workers."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from photogpt_client.aio import AsyncClient
from photogpt_client.client import Client
from photogpt_client.follower import position
from photogpt_client.jobs import Job
from photogpt_client.new_jobs import dumps
from photogpt_client.outcomes import COUNTS, FINAL_STATES
from photogpt_client.testing.events import END, SEQUENCES, now, sample_outcome
from photogpt_client.transport import StreamEntry
from photogpt_client.validation import start_of

MAX_METADATA = 4096  # bytes; the default of the service
PORTS = (None, 80, 443)
NAMESPACE = "photogpt"


class FakePhotoGPT:
    """Answers jobs at once: they succeed, unless `automatic` is False.

    Attributes:
        client: the real `Client`, without Redis.
        async_client: the real `AsyncClient`, on the same jobs.
        automatic: whether a new job succeeds at once; otherwise use `succeed`, `fail`, `advance` and `expire`.
        sent: the entries that were accepted, as dicts, in their order.
    """

    def __init__(self) -> None:
        """Begin without jobs."""
        self.automatic = True
        self.sent: list[dict[str, Any]] = []
        self._transport = FakeTransport(self)
        self.client = Client(transport=self._transport)
        self.async_client = AsyncClient(transport=self._transport)

    def advance(self, job: Job | str, state: str) -> None:
        """Let a job become `submitted` or `running`."""
        self._transport.change(_id(job), {"state": state})

    def succeed(self, job: Job | str, **outcome: Any) -> None:
        """Let a job succeed, with an image or video, or with what is given: `images=[…]`."""
        record = self._transport.record(_id(job))
        self._end(job, sample_outcome(record["kind"], **{"id": _id(job), **outcome}))

    def fail(
        self, job: Job | str, reason: str = "generation_failed", *, error: str = "it failed", retryable: bool = False
    ) -> None:
        """Let a job fail."""
        self._end(job, {"state": "failed", "reason": reason, "error": error, "retryable": retryable})

    def expire(self, job: Job | str) -> None:
        """Let a job's deadline pass."""
        error = "the deadline of the job passed"
        self._end(job, {"state": "expired", "reason": "deadline_exceeded", "error": error, "retryable": False})

    def forget(self, job: Job | str) -> None:
        """Let a job's record expire, as long after its end."""
        self._transport.forget(_id(job))

    def close(self) -> None:
        """End the threads of the clients."""
        self.client.close()
        self.async_client.threads.close()

    def _end(self, job: Job | str, outcome: Mapping[str, Any]) -> None:
        self._transport.change(_id(job), {**outcome, "finished_at": now()})


class FakeTransport:
    """Records and streams in memory."""

    def __init__(self, fake: FakePhotoGPT) -> None:
        """Begin empty."""
        self._fake = fake
        self._changed = threading.Condition(threading.RLock())
        self._jobs: dict[str, dict[str, Any]] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        self._streams: dict[str, list[StreamEntry]] = {}
        self._numbers = itertools.count(1)

    def append(self, jobs: Sequence[str]) -> list[str]:
        """Accept entries at once, as a worker does."""
        with self._changed:
            return [self._accept(json.loads(job)) for job in jobs]

    def read(self, after: Mapping[str, str], block_s: float) -> dict[str, list[StreamEntry]]:
        """Return entries of streams, and wait for one."""
        with self._changed:
            if block_s and not self._news(after):
                self._changed.wait(block_s)
            return self._news(after)

    def records(self, keys: Sequence[str], fields: Sequence[str]) -> list[dict[str, str]]:
        """Return records as Redis holds them."""
        with self._changed:
            return [_encoded(self._found(key), fields) for key in keys]

    def held(self, entry_ids: Sequence[str]) -> list[bool]:
        """Nothing stays in the inbox."""
        return [False for _ in entry_ids]

    def find(self, texts: Sequence[str]) -> dict[str, str]:
        """Nothing stays in the inbox."""
        del texts
        return {}

    def close(self) -> None:
        """There is nothing to close."""

    def record(self, job_id: str) -> dict[str, Any]:
        """Return a job's record."""
        with self._changed:
            return self._jobs[job_id]

    def forget(self, job_id: str) -> None:
        """Remove a job."""
        with self._changed:
            self._jobs.pop(job_id, None)
            self._streams.pop(_events(job_id), None)

    def change(self, job_id: str, changes: Mapping[str, Any]) -> None:
        """Change the state of a job that has not ended, and write its event."""
        with self._changed:
            record = self._jobs[job_id]
            if record["state"] in FINAL_STATES:
                return
            kept = {name: record[name] for name in ("id", "kind", "metadata", "created_at")}
            record |= {**changes, **kept}
            self._write(record)
            if record["state"] in FINAL_STATES:
                for batch_id in record["batches"]:
                    self._count(self._batches[batch_id], record["state"])
                self._end_duplicates(record, changes)

    def _accept(self, entry: dict[str, Any]) -> str:
        entry_id = f"{int(time.time() * 1000)}-{next(self._numbers)}"
        if entry["kind"] == "cancel":
            if entry["job_id"] in self._jobs:
                changes = {"state": "canceled", "reason": "canceled", "error": "the job was canceled"}
                self.change(entry["job_id"], {**changes, "retryable": False, "finished_at": now()})
            return entry_id
        if entry["id"] not in self._jobs:
            self._fake.sent.append(entry)
            self._store(entry)
        else:
            self._join(self._jobs[entry["id"]], entry.get("batch"))
        return entry_id

    def _join(self, record: dict[str, Any], named: dict[str, Any] | None) -> None:
        """Let a job count in a batch, at once if it has ended."""
        if named is None or named["id"] in record["batches"]:
            return
        self._batches.setdefault(named["id"], {**named, "created_at": now(), **dict.fromkeys(COUNTS, 0)})
        record["batches"].append(named["id"])
        if record["state"] in FINAL_STATES:
            self._count(self._batches[named["id"]], record["state"])

    def _store(self, entry: dict[str, Any]) -> None:
        job_id = entry["id"]
        empty: dict[str, Any] = {
            "submitted_at": None,
            "finished_at": None,
            "generation_id": None,
            "images": [],
            "polls": 0,
        }
        changed = {**empty, "id": job_id, "metadata": entry.get("metadata")}
        self._jobs[job_id] = sample_outcome(entry["kind"], "queued", **changed) | {"batches": []}
        self._join(self._jobs[job_id], entry.get("batch"))
        self._write(self._jobs[job_id])
        reason, problem = self._problem(entry)
        owner = self._owner(entry)
        if problem:
            self._fake.fail(job_id, reason, error=problem)
        elif owner is not None:
            self._jobs[job_id]["duplicate_of"] = owner
            if self._jobs[owner]["state"] in FINAL_STATES:
                self.change(job_id, self._jobs[owner])
        elif self._fake.automatic and not _starts_later(entry):
            self._fake.succeed(job_id)

    def _problem(self, entry: dict[str, Any]) -> tuple[str, str]:
        """Return why a worker with default settings refuses an entry that the client has let through."""
        size = len(dumps(entry.get("metadata") or {}).encode())
        if size > MAX_METADATA:
            return "invalid_request", f"metadata: has {size} bytes of JSON, {MAX_METADATA} are allowed"
        if urlsplit(entry.get("webhook_url") or "").port not in PORTS:
            return "invalid_request", "webhook_url: names a port other than 80 and 443"
        key = entry.get("idempotency_key")
        if key is not None and self._holds(key) and self._owners[key][1] != _digest(entry["request"]):
            return "idempotency_conflict", "idempotency_key: belongs to a job with another request"
        return "", ""

    def _owner(self, entry: dict[str, Any]) -> str | None:
        """Return the job that has the idempotency key; without one, this job gets it."""
        key = entry.get("idempotency_key")
        if key is None:
            return None
        if self._holds(key):
            return self._owners[key][0]
        self._owners[key] = (entry["id"], _digest(entry["request"]))
        return None

    def _holds(self, key: str) -> bool:
        """Return whether a job has an idempotency key. One that ended retryable lets it go."""
        owner, _ = self._owners.get(key, ("", ""))
        return owner in self._jobs and not self._jobs[owner]["retryable"]

    def _end_duplicates(self, record: dict[str, Any], changes: Mapping[str, Any]) -> None:
        for each in list(self._jobs.values()):
            if each.get("duplicate_of") == record["id"]:
                self.change(each["id"], changes)

    def _write(self, record: dict[str, Any]) -> None:
        noun = "model" if record["kind"] == "training" else "job"
        event = {"type": f"{noun}.{record['state']}", "sequence": str(SEQUENCES.get(record["state"], END))}
        if record["state"] in FINAL_STATES:
            outcome = {name: value for name, value in record.items() if name not in {"batches", "duplicate_of"}}
            event["data"] = dumps(outcome)
        self._add(_events(record["id"]), {**event, "timestamp": now()})

    def _count(self, batch: dict[str, Any], state: str) -> None:
        batch[state] += 1
        if sum(batch[each] for each in COUNTS) == batch["total"]:
            batch["finished_at"] = now()
            key = f"{NAMESPACE}:batch:{{{batch['id']}}}:events"
            self._add(key, {"type": "batch.finished", "timestamp": now(), "data": dumps(batch)})

    def _add(self, stream: str, fields: dict[str, str]) -> None:
        self._streams.setdefault(stream, []).append((f"{int(time.time() * 1000)}-{next(self._numbers)}", fields))
        self._changed.notify_all()

    def _news(self, after: Mapping[str, str]) -> dict[str, list[StreamEntry]]:
        found = {
            stream: [each for each in self._streams.get(stream, ()) if position(each[0]) > position(last)]
            for stream, last in after.items()
        }
        return {stream: entries for stream, entries in found.items() if entries}

    def _found(self, key: str) -> dict[str, Any]:
        _, noun, name = key.split(":", 2)
        records = self._jobs if noun == "job" else self._batches
        return records.get(name[1:-1], {})


def _starts_later(entry: Mapping[str, Any]) -> bool:
    not_before = entry.get("not_before")
    return bool(entry.get("delay_s")) or (not_before is not None and start_of(not_before) > time.time())


def _digest(request: Mapping[str, Any]) -> str:
    return json.dumps(request, sort_keys=True)


def _events(job_id: str) -> str:
    return f"{NAMESPACE}:job:{{{job_id}}}:events"


def _encoded(record: Mapping[str, Any], fields: Sequence[str]) -> dict[str, str]:
    known = {name: record[name] for name in fields if record.get(name) is not None}
    return {name: value if isinstance(value, str) else dumps(value) for name, value in known.items()}


def _id(job: Job | str) -> str:
    return job if isinstance(job, str) else job.id
