"""`photogpt-worker up`: everything on one supervisor."""

from __future__ import annotations

import time

import click
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from config.settings import Settings
from worker.cli.context import masked, read_settings
from worker.cli.help import HelpCommand
from worker.cli.local.log_files import Tail
from worker.cli.local.shutdown import stop_at_end
from worker.cli.local.stack import REDIS_PORT, Stack, Wanted, start_stack
from worker.cli.local.supervisor import Supervisor
from worker.cli.output import console
from worker.sandbox.options import DEFAULT_PORT

LOOK_S = 0.2
MODEL = "my-model"
"""A model that the sandbox of `up` has, so that training can be tried."""

SNIPPET = """\
from celery import Celery

app = Celery(broker="{broker}", backend="{redis}")
job = app.send_task("photogpt.generate_image", kwargs={{
    "request": {{"modelID": "nanobanana", "prompt": "a quiet harbour at dawn"}},
}})
print(job.id, job.get(timeout=600)["images"][0]["url"])"""


@click.command(
    "up",
    cls=HelpCommand,
)
@click.option("--workers", default=1, type=click.IntRange(1, 64), show_default=True, help="Worker processes.")
@click.option("--flower/--no-flower", default=True, show_default=True, help="Whether Flower runs.")
@click.option("--redis-port", default=REDIS_PORT, show_default=True, help="Of the embedded Valkey; if taken, another.")
@click.option("--sandbox-port", default=DEFAULT_PORT, show_default=True, help="Of the sandbox; if taken, another.")
def up(workers: int, redis_port: int, sandbox_port: int, *, flower: bool) -> None:
    """Run everything on this supervisor, until Ctrl-C.

    Starts an embedded Valkey (a Redis server) unless PHOTOGPT_REDIS_URL is set, a sandbox in place of PhotoGPT unless
    PHOTOGPT_API_KEY is set, the workers, and Flower. What dies is started again. Jobs survive a restart: Valkey keeps
    them in PHOTOGPT_DATA_DIR. Nothing listens beyond this supervisor.

    Example:
      photogpt-worker up --workers 2

    Settings that matter:
      PHOTOGPT_API_KEY                       the account that pays; without it: the sandbox
      PHOTOGPT_REDIS_URL                     your own Redis; without it: the embedded Valkey
      PHOTOGPT_BROKER_URL                    messages elsewhere (amqp://…); the ledger needs a Redis all the same
      PHOTOGPT_DATA_DIR                      data and logs (.photogpt)
      PHOTOGPT_WEBHOOK_SECRETS               without it: one is made for this run and printed
      PHOTOGPT_FLOWER_PASSWORD, …_PORT       without a password: one is made for this run and printed
    """
    settings, out = read_settings(), console()
    supervisor = Supervisor(lambda text: out.print(f"[yellow]up │ {escape(text)}[/]", soft_wrap=True))
    wanted = Wanted(
        directory=settings.data_dir.absolute(),
        embedded=settings.redis_url is None,
        sandboxed=settings.api_key is None,
        workers=workers,
        flower=flower,
        sandbox_options=("--journal", str(settings.data_dir.absolute() / "sandbox.journal"), "--model", MODEL),
        redis_port=redis_port,
        sandbox_port=sandbox_port,
    )
    with stop_at_end(supervisor, out):
        tails = {f"worker-{number}": _tail(settings, number) for number in range(1, workers + 1)}
        out.print("[bright_black]starting …[/]")
        made = start_stack(settings, wanted, supervisor)
        announce(made, out)
        while True:
            time.sleep(LOOK_S)
            supervisor.restart_dead()
            for name, tail in tails.items():
                for line in tail.lines():
                    out.print(f"[cyan]{name} │[/] {escape(line)}", soft_wrap=True)


def announce(made: Stack, out: Console) -> None:
    """Say what runs, where, and how to use it."""
    if made.wanted.sandboxed:
        out.print(
            Panel(
                "PHOTOGPT_API_KEY is not set, so this talks to a [bold]sandbox[/]: a PhotoGPT on this machine that "
                "costs nothing and makes no real pictures. Set the key to use the real one.\n"
                f"There is a model [bold]{MODEL}[/] to train. Webhooks to this machine need "
                "PHOTOGPT_WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8.",
                title="sandbox",
                style="yellow",
            )
        )
    out.print(addresses(made))
    out.print("[bold]Enqueue a job[/] from any Python with Celery:\n")
    out.print(escape(_snippet(made)), soft_wrap=True, style="green")
    out.print("\nor in another terminal:\n")
    out.print(f"[green]export PHOTOGPT_REDIS_URL={escape(made.redis_url)}[/]", soft_wrap=True)
    out.print('[green]photogpt-worker submit image --prompt "a quiet harbour at dawn" --wait[/]', soft_wrap=True)
    out.print("\nWhat the workers say follows. [bold]Ctrl-C ends everything.[/]\n")


def addresses(made: Stack) -> Table:
    """Return the table of what runs."""
    settings, grid = made.settings, Table(show_header=False, title="photogpt-worker is up", title_justify="left")
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    pids = made.supervisor.pids()
    ours = f"embedded Valkey, data in {made.wanted.directory / 'valkey'}" if made.wanted.embedded else "yours"
    grid.add_row("Redis", f"{escape(made.redis_url)}  ({ours})")
    if settings.broker_url is not None:
        grid.add_row("Broker", escape(masked(settings.queue_url)))
    grid.add_row("PhotoGPT", f"{escape(made.base_url)}  ({'sandbox' if made.wanted.sandboxed else 'costs credits'})")
    if made.flower_url:
        shown = made.flower_password if made.new_flower_password else "PHOTOGPT_FLOWER_PASSWORD"
        grid.add_row("Flower", f"{made.flower_url}  user {escape(settings.flower_user)}, password {escape(shown)}")
    if made.new_webhook_secret:
        grid.add_row("Webhook secret", f"{made.new_webhook_secret}  (for this run)")
    names = made.worker_names()
    grid.add_row("Workers", ", ".join(f"{name} (process {pids[name]})" for name in names))
    grid.add_row("Logs", str(made.wanted.directory / "logs"))
    return grid


def _snippet(made: Stack) -> str:
    broker = masked(made.settings.queue_url) if made.settings.broker_url else made.redis_url
    return SNIPPET.format(broker=broker, redis=made.redis_url)


def _tail(settings: Settings, number: int) -> Tail:
    return Tail(settings.data_dir.absolute() / "logs" / f"worker-{number}.log")
