"""The entry point of `photogpt-worker`."""

from __future__ import annotations

import sys

import click

from worker import __version__
from worker.cli.help import Entry, LazyGroup
from worker.cli.streams import prepare_streams, text_arguments

COMMANDS = {
    "demo": Entry("worker.cli.local.demo:demo", "Run all four kinds of job against a local sandbox."),
    "up": Entry("worker.cli.local.up:up", "Run the whole service on this machine."),
    "worker": Entry("worker.cli.local.worker:worker", "Run one worker process for all queues."),
    "flower": Entry("worker.cli.local.flower:flower", "Run Flower, the web page that shows workers and tasks."),
    "sandbox": Entry("worker.cli.local.sandbox:sandbox", "Run a local PhotoGPT over HTTP, with faults on demand."),
    "metrics": Entry("worker.cli.local.metrics:metrics", "Serve the metrics of the whole service for Prometheus."),
    "status": Entry("worker.cli.status.status:status", "Show the state of the whole service on one screen."),
    "ping": Entry("worker.cli.local.ping:ping", "Check the settings, Redis and the PhotoGPT API."),
    "submit": Entry("worker.cli.jobs.submit:submit", "Enqueue one job; wait for its outcome with --wait."),
    "watch": Entry("worker.cli.jobs.watch:watch", "Show jobs live."),
    "jobs": Entry("worker.cli.jobs.jobs:jobs", "List recent jobs."),
    "show": Entry("worker.cli.jobs.show:show", "Show everything that is stored about one job."),
    "schedule": Entry("worker.cli.jobs.schedule:schedule", "Show when jobs are polled, and why."),
    "cancel": Entry("worker.cli.jobs.cancel:cancel", "Cancel a job: stop polling it."),
    "replay": Entry("worker.cli.jobs.replay:replay", "Enqueue failed, expired or canceled jobs again."),
    "files": Entry("worker.cli.files.group:files", "List and fetch stored images and videos."),
    "webhooks": Entry("worker.cli.webhooks.group:webhooks", "List and resend webhooks; manage endpoints and keys."),
    "rejected": Entry("worker.cli.jobs.rejected:rejected", "List messages that workers could not use."),
    "schema": Entry("worker.cli.jobs.schema:schema", "Print the JSON Schema of requests, outcomes and webhooks."),
}
"""Every command, in the order in which a newcomer needs them."""


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="photogpt-worker")
def cli() -> None:
    """Celery workers for PhotoGPT's asynchronous API.

    A service enqueues a generation by Celery task name. Workers trigger it once, poll PhotoGPT until it ends, and
    publish the outcome as the Celery result, in Redis, and to signed webhooks.

    Start here:
      photogpt-worker demo                   run four kinds of job against a local
                                             sandbox; needs nothing
      photogpt-worker up                     run the whole service on this machine
      photogpt-worker submit image --prompt "a quiet harbour" --wait

    Settings are environment variables (or a file .env), for example:
      PHOTOGPT_API_KEY                       the account that pays; without it
                                             `up` and `demo` use the sandbox
      PHOTOGPT_REDIS_URL                     default redis://127.0.0.1:6379/0
      PHOTOGPT_WEBHOOK_SECRETS               whsec_…, comma-separated: the keys
                                             that sign webhooks
    """


def main() -> None:
    """Run the command."""
    output = prepare_streams()
    try:
        cli(text_arguments(sys.argv[1:]), prog_name="photogpt-worker")
    finally:
        output.ended = True


if __name__ == "__main__":
    main()
