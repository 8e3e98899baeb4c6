"""`photogpt-worker worker`: one Celery worker process."""

from __future__ import annotations

import os
import sys
import warnings

import click

from config.celery import QUEUES
from worker.cli.context import read_settings
from worker.cli.help import HelpCommand

FRIENDLY = {name.removeprefix("photogpt."): name for name in QUEUES} | {"enqueued": "celery"}
"""What a queue may be called on the command line."""


class Queues(click.ParamType[tuple[str, ...]]):
    """A comma-separated list of queues."""

    name = "list"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the queues' own names, or say which there are."""
        if isinstance(value, tuple):
            return value
        asked = [part.strip() for part in str(value).split(",") if part.strip()]
        unknown = [name for name in asked if name not in FRIENDLY and name not in QUEUES]
        if unknown or not asked:
            self.fail(f"{', '.join(unknown) or 'nothing'} is no queue; there are {', '.join(FRIENDLY)}", param, ctx)
        return tuple(FRIENDLY.get(name, name) for name in asked)


@click.command("worker", cls=HelpCommand)
@click.option("--queues", type=Queues(), default=QUEUES, help=f"Only these: {', '.join(FRIENDLY)}.  [default: all]")
@click.option("--concurrency", type=click.IntRange(8, 500), help="Threads.  [default: PHOTOGPT_CONCURRENCY, or 16]")
@click.option("--name", help="What Flower calls it; unique among all workers.  [default: photogpt-<pid>@<host>]")
def worker(queues: tuple[str, ...], concurrency: int | None, name: str | None) -> None:
    """Run one worker process for all queues.

    One process is a complete service: it accepts jobs, triggers them, looks at them, stores results and delivers
    webhooks. Start as many as you like, on as many machines: they share the work and need nothing else than Redis. The
    line `worker.ready` says that it takes work. SIGTERM lets it finish what it holds; what a killed one held comes
    back by itself.

    Example:
      PHOTOGPT_API_KEY=… PHOTOGPT_REDIS_URL=redis://queue:6379/0 photogpt-worker worker --name line-1

    Settings that matter most:
      PHOTOGPT_API_KEY, PHOTOGPT_BASE_URL    the account and the address of PhotoGPT
      PHOTOGPT_REDIS_URL                     ledger, results and, unless PHOTOGPT_BROKER_URL is set, messages
      PHOTOGPT_JOB_POLL_INTERVAL_S           between two looks at a job (5)
      PHOTOGPT_MODEL_POLL_INTERVAL_S         between two looks at a model in training (300)
      PHOTOGPT_WEBHOOK_SECRETS               what webhooks are signed with
      PHOTOGPT_LOG_LEVEL, PHOTOGPT_LOG_FORMAT
    """
    settings = read_settings()
    from worker.queue.app import app  # noqa: PLC0415 - reads the settings at import, which had to be connection_errors first

    # Celery warns root of messages that hold code; JSON, which is all that is accepted here, cannot.
    warnings.filterwarnings("ignore", message="(?s).*superuser privileges")
    argv = worker_argv(queues, concurrency or settings.concurrency, name or f"photogpt-{os.getpid()}")
    sys.exit(app.worker_main(argv))


def worker_argv(queues: tuple[str, ...], concurrency: int, name: str) -> list[str]:
    """Return Celery's own arguments.

    Events are on for Flower. Gossip and mingle are off: nothing here depends on what workers know of each other, and
    both cost messages for each pair of them.
    """
    node = name if "@" in name else f"{name}@%h"
    return [
        "--quiet",
        "worker",
        "--pool=threads",
        f"--concurrency={concurrency}",
        f"--queues={','.join(queues)}",
        f"--hostname={node}",
        "--loglevel=INFO",
        "--events",
        "--without-gossip",
        "--without-mingle",
    ]
