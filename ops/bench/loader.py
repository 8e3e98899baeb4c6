"""Puts jobs in flight through the store's functions, as a worker would.

Enqueueing 100,000 jobs, triggering and polling each takes longer than the measurement. Redis then holds what a worker
writes up to the first poll: accepted, intent recorded, submitted, running.
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
from worker.domain.new_job import new_job
from worker.domain.submission import SubmissionLimits, parse_submission
from worker.steps.accept import job_defaults
from worker.store.lanes import leave_to_lane_monitor
from worker.store.records import JobAccepted
from worker.store.store import Store, open_store

P95_DURATION_S = 3600.0  # list polling never defers a single poll of these jobs
MAX_IN_PROCESS = 2000  # below this, starting processes takes longer than loading


def load(redis_url: str, generation_ids: list[str], *, interval: float, seed: int) -> set[str]:
    """Put a job in flight for each generation, with its next poll at a random time within an interval.

    Returns the generations in flight. One is missing if a running worker triggered its job first.
    """
    if len(generation_ids) <= MAX_IN_PROCESS:
        return _load(redis_url, generation_ids, interval, seed)
    shares = 2 * (os.cpu_count() or 2)  # half of the time goes to waiting for Redis
    with ProcessPoolExecutor(shares, mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(_load, redis_url, generation_ids[number::shares], interval, seed + number)
            for number in range(shares)
        ]
        return set().union(*(part.result() for part in parts))


def _load(redis_url: str, generation_ids: list[str], interval: float, seed: int) -> set[str]:
    settings = load_settings(redis_url=redis_url, api_key="sandbox-key")
    store, rng = open_store(settings, leave_to_lane_monitor), random.Random(seed)
    submission = parse_submission(Kind.IMAGE, [], {"request": dict(REQUEST)}, SubmissionLimits(metadata_max_bytes=4096))
    try:
        in_flight = set()
        for generation_id in generation_ids:
            job_id = f"in-flight-{generation_id}"
            job = new_job(
                job_id, Kind.IMAGE, submission, defaults=job_defaults(settings), at=store.clock(), result_meta={}
            )
            accepted = store.jobs.accept(job, digest=submission.digest)
            if isinstance(accepted, JobAccepted) and _advance(store, job, generation_id, rng.uniform(0, interval)):
                in_flight.add(generation_id)
        return in_flight
    finally:
        store.close()


def _advance(store: Store, job: Job, generation_id: str, poll_after: float) -> bool:
    """Record that PhotoGPT accepted and runs the job; return False if a worker triggered it first."""
    if store.jobs.record_intent(job) is None:
        return False
    recorded = store.jobs.mark_submitted(
        job, Submitted(generation_id), poll_after=poll_after, must_poll_after=P95_DURATION_S
    )
    if not recorded:
        return False
    submitted = replace(job, state=JobState.SUBMITTED, generation_id=generation_id, submitted_at=store.clock())
    return store.jobs.mark_running(submitted, poll_after=poll_after)
