"""Jobs that wait for their files: no end is announced twice, nothing is lost, and no key is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.store.conftest import Line
from tests.running import keys
from worker.domain.files import StoredFile
from worker.domain.job import Job, JobState
from worker.domain.lane import Lane
from worker.domain.outcome import JobResult, Outcome

IMAGES = ({"id": "image-1", "url": "https://cdn.example/1.png"},)
SUCCESS = JobResult(state=JobState.SUCCEEDED, images=IMAGES)
FILE: StoredFile = {
    "key": "default/2026-12-01/job-1/1.png",
    "bytes": 9,
    "sha256": "0" * 64,
    "content_type": "image/png",
    "source_url": "https://cdn.example/1.png",
}


def waiting(line: Line, **changes: Any) -> Job:
    """Return a job that has succeeded and waits for its files."""
    job = line.submitted(**changes)
    ended = line.finish(job, SUCCESS, store_files=True)
    assert ended is not None
    assert Lane.FILES in {tick.lane for tick in ended.ticks}
    return line.read(job)


def final(line: Line, job: Job, *files: StoredFile, error: str | None = None) -> Outcome:
    """Return the outcome of a job with its files."""
    known = line.store.files.read(job.id)
    assert known is not None
    known.outcome["files"], known.outcome["files_error"] = list(files), error
    return known.outcome


def begin(line: Line, job: Job) -> bool:
    """Let a job wait for its files before its end, as a poll does."""
    fields = {"reason": "storing", "error": "its files are being stored"}
    return line.store.files.begin_storing(job, SUCCESS, polled=True, duration_s=12.0, fields=fields)


def test_after_the_end(line: Line) -> None:
    """A job waits for its files from its end on; they are published once, with an event and a webhook."""
    job = waiting(line, webhook_url="https://shop.example/hooks")
    line.store.files.record_stored(job.id, 1, FILE)
    known = line.store.files.read(job.id)
    assert known is not None
    assert known.progress.files == [FILE]

    assert line.store.files.mark_stored(job, final(line, job, FILE))
    assert not line.store.files.mark_stored(job, final(line, job, FILE))

    assert Lane.FILES not in line.lanes_of(job.id)
    assert line.events(job)[-2:] == ["job.succeeded", "job.stored"]
    webhooks = {each["type"] for each in line.store.delivery_history.of_job(job.id)}
    assert webhooks == {"job.succeeded", "job.stored"}
    outcome = line.store.jobs.outcome(job.id)
    assert outcome is not None
    assert (outcome["state"], outcome["files"], outcome["files_error"]) == ("succeeded", [FILE], None)
    assert line.ttl(keys.files(job.id)) > 4000


def test_before_the_end(line: Line) -> None:
    """A job that waits before its end leaves the lane of polls and PhotoGPT's capacity, and ends as usual."""
    job = line.submitted()
    assert begin(line, job)
    assert not begin(line, job)

    assert line.lanes_of(job.id) == {Lane.FILES}
    assert not line.client.hexists(keys.jobs_by_generation, "g-1")
    waits = line.read(job)
    assert (waits.state, waits.reason, waits.polls) == (job.state, "storing", 1)
    assert line.events(job)[-1] == "job.submitted"

    ended = line.finish(waits, JobResult(state=JobState.SUCCEEDED, images=IMAGES, files=(FILE,)))
    assert ended is not None
    assert line.lanes_of(job.id) == {Lane.RESULTS}
    assert (ended.outcome["reason"], ended.outcome["files"]) == (None, [FILE])
    assert not begin(line, line.read(job))


def test_a_canceled_job_waits_for_no_file(line: Line) -> None:
    """A job that is canceled while its files are stored leaves the lane, and nothing is published for it."""
    job = line.submitted()
    assert begin(line, job)
    assert line.finish(line.read(job), JobResult(state=JobState.CANCELED)) is not None
    assert Lane.FILES not in line.lanes_of(job.id)
    assert not line.store.files.mark_stored(job, final(line, job, FILE))


def test_failures_are_counted_until_a_file_is_stored(line: Line) -> None:
    """Failed attempts count up with the last error; a stored file begins anew and forgets its request."""
    job = waiting(line)
    files = line.store.files
    assert [files.record_failure(job.id, error) for error in ("first", "second")] == [1, 2]
    files.record_requested(job.id, 1)
    known = files.read(job.id)
    assert known is not None
    assert (known.progress.attempts, known.progress.error, list(known.progress.requested)) == (2, "second", [1])

    files.record_stored(job.id, 1, FILE)
    known = files.read(job.id)
    assert known is not None
    assert (known.progress.attempts, known.progress.error, dict(known.progress.requested)) == (0, None, {})


def test_stored_again(line: Line) -> None:
    """Only a job that succeeded and lacks files can be stored again; what is stored stays so."""
    files = line.store.files
    failed, empty, job = line.submitted(), line.submitted(generation="g-2"), waiting(line, generation="g-3")
    line.finish(failed, JobResult(state=JobState.FAILED))
    line.finish(empty, JobResult(state=JobState.SUCCEEDED))
    assert files.store_again(job.id) == "waiting"
    files.record_stored(job.id, 1, FILE)
    files.record_failure(job.id, "broken")
    assert files.mark_stored(job, final(line, job, FILE, error="image 2: broken"))

    answers = [files.store_again(name) for name in ("unknown", failed.id, empty.id, job.id)]
    assert answers == ["unknown", "not_succeeded", "no_outputs", "scheduled"]
    assert Lane.FILES in line.lanes_of(job.id)
    known = files.read(job.id)
    assert known is not None
    assert (known.progress.files, known.progress.attempts) == ([FILE], 0)
    assert files.mark_stored(job, final(line, job, FILE))
    assert files.store_again(job.id) == "stored"
    assert line.events(job)[-2:] == ["job.not_stored", "job.stored"]


@pytest.mark.parametrize("claimed", [True, False])
def test_a_lease_is_extended(line: Line, *, claimed: bool) -> None:
    """The lease of a job in transfer is extended; a job that has left the lane does not come back."""
    job = waiting(line)
    if not claimed:
        line.client.zrem(keys.lane(Lane.FILES), job.id)
    line.store.lanes.extend_lease(Lane.FILES, job.id, 60)
    if claimed:
        assert 50 < line.due_in(Lane.FILES, job.id) <= 60
    assert (Lane.FILES in line.lanes_of(job.id)) == claimed
