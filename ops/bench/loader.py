"""Jobs in flight without the way there: written to the ledger by the store's own verbs, as if a worker had been asked.

Enqueueing 100,000 jobs, triggering each and looking once takes longer than measuring them. What stands in the ledger
afterwards is what a worker would have written, up to the first look: accepted, intended, submitted, running.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

from config.settings import load_settings
from ops.bench.stage import REQUEST
from worker.domain.decision import Submitted
from worker.domain.job import Job, JobState, Kind
from worker.domain.submission import SubmissionLimits, new_job, parse_submission
from worker.steps.accept import job_defaults
from worker.store.connection import Store, open_store
from worker.store.lanes import leave_to_lane_monitor
from worker.store.records import JobAccepted

OLD_S = 3600.0  # they stand for jobs that have been under way for so long
ALONE = 2000  # so many do not pay for processes


def load(redis_url: str, generation_ids: list[str], *, interval: float, seed: int) -> set[str]:
    """Put a job in flight for each generation, its next look at a random moment within an interval.

    Returns the generations that are in flight now: where a worker that runs meanwhile was quicker to ask, it is not.
    """
    if len(generation_ids) <= ALONE:
        return _load(redis_url, generation_ids, interval, seed)
    shares = 2 * (os.cpu_count() or 2)  # half of the time is waiting for Redis
    with ProcessPoolExecutor(shares, mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(_load, redis_url, generation_ids[number::shares], interval, seed + number)
            for number in range(shares)
        ]
        return set().union(*(part.result() for part in parts))


def _load(redis_url: str, generation_ids: list[str], interval: float, seed: int) -> set[str]:
    settings = load_settings(redis_url=redis_url, api_key="sandbox-key")
    store, dice = open_store(settings, leave_to_lane_monitor), random.Random(seed)
    submission = parse_submission(Kind.IMAGE, [], {"request": dict(REQUEST)}, SubmissionLimits(metadata_max_bytes=4096))
    try:
        in_flight = set()
        for generation_id in generation_ids:
            job_id = f"in-flight-{generation_id}"
            job = new_job(
                job_id, Kind.IMAGE, submission, defaults=job_defaults(settings), at=store.clock(), result_meta={}
            )
            accepted = store.jobs.accept(job, digest=submission.digest)
            if isinstance(accepted, JobAccepted) and _advance(store, job, generation_id, dice.uniform(0, interval)):
                in_flight.add(generation_id)
        return in_flight
    finally:
        store.close()


def _advance(store: Store, job: Job, generation_id: str, poll_after: float) -> bool:
    """Write down that PhotoGPT took the job and works on it; False if a worker has asked PhotoGPT for another one."""
    if store.jobs.record_intent(job) is None:
        return False
    if not store.jobs.mark_submitted(job, Submitted(generation_id), poll_after=poll_after, p95_duration_s=OLD_S):
        return False
    submitted = replace(job, state=JobState.SUBMITTED, generation_id=generation_id, submitted_at=store.clock())
    return store.jobs.mark_running(submitted, poll_after=poll_after)
