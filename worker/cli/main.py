"""The entry point."""

from __future__ import annotations

import click

from worker import __version__
from worker.cli.lazy import LazyCommands

COMMANDS = {
    "demo": "See it work: all four kinds, from enqueue to signed webhook, in half a minute.",
    "up": "Run everything on this machine: Redis, workers, Flower and, without a key, a sandbox.",
    "worker": "Run one worker process for all queues.",
    "flower": "Run Flower, the web page that shows workers and tasks.",
    "sandbox": "Run a local PhotoGPT over HTTP, with faults on demand.",
    "ping": "Check the settings, Redis and the PhotoGPT API.",
    "submit": "Enqueue one job, and wait for its outcome if asked.",
    "watch": "Watch jobs live.",
    "jobs": "List recent jobs.",
    "show": "Show all that is known of one job.",
    "schedule": "Show when jobs are looked at, and why.",
    "cancel": "Stop looking at a job.",
    "replay": "Enqueue afresh what failed, expired or was canceled.",
    "webhooks": "Webhooks: list, resend, recover; endpoints and keys; a receiver to try.",
    "schema": "Print the JSON Schema of requests, outcomes and webhooks.",
}
"""Every command and its one line. Each stands in the module `worker.cli.<name>`, under its own name."""


@click.group(
    cls=LazyCommands,
    commands_by_name=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="photogpt-worker")
def cli() -> None:
    """Start it, wait for it, tell me: a worker service for PhotoGPT's asynchronous API.

    Other services enqueue a generation by Celery task name; workers trigger it once, look until it ends, and publish
    the outcome as the Celery result, in Redis, and to signed webhooks.

    Begin here:
      photogpt-worker demo                   watch four jobs run against a local sandbox; needs nothing
      photogpt-worker up                     the whole service on this machine
      photogpt-worker submit image --prompt "a quiet harbour" --wait

    Settings are environment variables (or a file .env), among them:
      PHOTOGPT_API_KEY                       the account that pays; without it `up` and `demo` use the sandbox
      PHOTOGPT_REDIS_URL                     default redis://127.0.0.1:6379/0
      PHOTOGPT_WEBHOOK_SECRETS               whsec_…, comma-separated: what webhooks are signed with
    """


def main() -> None:
    """Run the command."""
    cli(prog_name="photogpt-worker")


if __name__ == "__main__":
    main()
