"""`photogpt-worker worker`: one Celery worker process."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import click
from celery.utils.nodenames import default_nodename, host_format
from celery.worker import state

from config.celery import HEARTBEAT_S, QUEUES, queue_names
from config.settings import Settings
from worker.cli.context import read_settings
from worker.cli.help import HelpCommand


def _chosen(names: str | None, settings: Settings) -> list[str]:
    """Return the queues' names in the broker, given a comma-separated list of them or of their short names."""
    queues = queue_names(settings)
    wanted = [part.strip() for part in (names or ",".join(QUEUES)).split(",") if part.strip()]
    unknown = [name for name in wanted if name not in {*queues, *queues.values()}]
    if unknown or not wanted:
        known = f"there are {', '.join((queues[QUEUES[0]], *QUEUES[1:]))}"
        raise click.BadParameter(f"{', '.join(unknown) or 'nothing'} is no queue; {known}", param_hint="--queues")
    return [queues.get(name, name) for name in wanted]


@click.command("worker", cls=HelpCommand)
@click.option("--queues", help=f"Only these: {', '.join(QUEUES)}.  [default: all]")
@click.option("--concurrency", type=click.IntRange(8, 500), help="Threads.  [default: PHOTOGPT_CONCURRENCY, or 16]")
@click.option("--name", help="Name in Flower; unique among all workers.  [default: photogpt-<pid>@<host>]")
def worker(queues: str | None, concurrency: int | None, name: str | None) -> None:
    """Run one worker process for all queues.

    One process is a complete service: it accepts jobs, triggers and polls them, stores results and delivers webhooks.
    Run any number of them on any number of machines: they share the work through Redis. The log event `worker.ready`
    says that the worker accepts work. On SIGTERM it finishes the calls in progress and stops. After a crash, other
    workers take over its jobs.

    Example:
      export PHOTOGPT_API_KEY=… PHOTOGPT_REDIS_URL=redis://queue:6379/0
      photogpt-worker worker --name line-1

    Settings:
      PHOTOGPT_API_KEY, PHOTOGPT_BASE_URL    the account and the address of
                                             PhotoGPT
      PHOTOGPT_REDIS_URL                     jobs, results and, unless
                                             PHOTOGPT_BROKER_URL is set, messages
      PHOTOGPT_JOB_POLL_INTERVAL_S           seconds between two polls of a job
                                             (5)
      PHOTOGPT_MODEL_POLL_INTERVAL_S         seconds between two polls of a model
                                             in training (300)
      PHOTOGPT_WEBHOOK_SECRETS               the keys that sign webhooks
      PHOTOGPT_LOG_LEVEL, PHOTOGPT_LOG_FORMAT
    """
    settings = read_settings(warn=False)
    names = _chosen(queues, settings)
    from worker.queue.app import app  # noqa: PLC0415 - it reads the settings at import; errors must be explained first

    # Celery warns root users about messages that can hold code; workers accept JSON only, which cannot.
    warnings.filterwarnings("ignore", message="(?s).*superuser privileges")
    sys.argv = ["-m", "worker.cli.main", *sys.argv[1:]]  # on SIGHUP Celery executes Python with these again
    controller = app.Worker(**worker_options(names, concurrency or settings.concurrency, name))
    controller.start()
    signaled = state.should_stop is not None  # after SIGINT Celery's exit code is 1, although all is well
    sys.exit(0 if signaled else controller.exitcode)


def worker_options(queues: list[str], concurrency: int, name: str | None) -> dict[str, Any]:
    """Return the options of Celery's worker.

    They are given in Python: Celery's command would import Flower and a shell into each: 0.25 s of CPU, 14 MB.
    Events are on for Flower. Gossip and mingle are off: the service needs neither, and each costs messages between
    every pair of workers.
    """
    name = name or f"photogpt-{os.getpid()}"
    return {
        "hostname": host_format(default_nodename(name if "@" in name else f"{name}@%h")),
        "concurrency": concurrency,
        "queues": queues,
        "loglevel": "INFO",
        "task_events": True,
        "without_gossip": True,
        "without_mingle": True,
        "heartbeat_interval": HEARTBEAT_S,
        "quiet": True,
    }
