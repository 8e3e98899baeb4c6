"""`photogpt-worker cancel`: stop polling a job."""

from __future__ import annotations

import click
from celery.exceptions import TimeoutError as ResultTimeout

from worker.cli.context import CommandError, connected_store, connection_errors, producer, read_settings
from worker.cli.help import HelpCommand
from worker.domain.job import JobState
from worker.domain.outcome import Outcome

TASK = "photogpt.cancel"


@click.command("cancel", cls=HelpCommand)
@click.argument("job_id")
@click.option(
    "--timeout", default=30.0, show_default=True, type=click.FloatRange(0), help="Seconds to wait for a worker."
)
def cancel(job_id: str, timeout: float) -> None:
    """Stop polling a job, and end it as canceled.

    PhotoGPT has no cancel. If the job was triggered, its generation continues at PhotoGPT and is charged; workers only
    stop waiting for it. If the job was not triggered yet, it costs nothing. The answer says which of the two it was.

    Example:
      photogpt-worker cancel 3f6c…

    Exit code 0: the job is canceled; 1: it is not, because it had ended, is unknown, or no worker answered.
    Settings: PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL.
    """
    settings = read_settings()
    with connected_store(settings) as store:
        if store.jobs.outcome(job_id) is None:
            raise CommandError(f"there is no job {job_id}; if it is still in the queue, no worker has accepted it yet")
        with connection_errors(settings), producer(settings) as app:
            try:
                refusal = app.send_task(TASK, kwargs={"job_id": job_id}).get(timeout=timeout, propagate=False)
            except ResultTimeout:
                raise CommandError(
                    f"no worker answered within {timeout:g} s; the request stays in the queue. Check that a worker runs"
                ) from None
        if isinstance(refusal, Exception):
            raise CommandError(str(refusal))
        outcome = store.jobs.outcome(job_id)
    click.echo(_canceled(job_id, outcome))


def _canceled(job_id: str, outcome: Outcome | None) -> str:
    """Return the sentence about a canceled job, or fail if it is not canceled."""
    if outcome is None:
        raise CommandError(f"the record of job {job_id} has expired")
    if outcome["state"] != JobState.CANCELED:
        raise CommandError(f"job {job_id} had ended before as {outcome['state']}; nothing changes")
    return str(outcome["error"])
