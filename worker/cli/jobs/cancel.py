"""`photogpt-worker cancel`: stop looking at a job."""

from __future__ import annotations

import sys

import click
from celery.exceptions import TimeoutError as NoAnswer

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
    """Stop looking at a job, and end it as canceled.

    PhotoGPT has no cancel. A job that was triggered goes on there and is charged; canceling it only means that nobody
    here waits for it any more. A job that was not triggered yet costs nothing. The answer says which it was.

    Example:
      photogpt-worker cancel 3f6c…

    Exit code 0: it is canceled; 1: it is not, since it had ended, is not known, or no worker answers.
    Settings that matter: PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL.
    """
    settings = read_settings()
    with connected_store(settings) as store:
        if store.jobs.outcome(job_id) is None:
            raise CommandError(f"there is no job {job_id}; if it is still in the queue, no worker has taken it yet")
        with connection_errors(settings), producer(settings) as app:
            try:
                app.send_task(TASK, kwargs={"job_id": job_id}).get(timeout=timeout)
            except NoAnswer:
                raise CommandError(
                    f"no worker answered within {timeout:g} s; the request stays in the queue. Is a worker running?"
                ) from None
        outcome = store.jobs.outcome(job_id)
    _tell(job_id, outcome)


def _tell(job_id: str, outcome: Outcome | None) -> None:
    if outcome is None:
        raise CommandError(f"the record of job {job_id} expired meanwhile")
    if outcome["state"] != JobState.CANCELED:
        raise CommandError(f"job {job_id} had ended already: {outcome['state']}; nothing changes")
    click.echo(outcome["error"])
    sys.exit(0)
