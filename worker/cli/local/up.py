"""`photogpt-worker up`: the whole service on one machine."""

from __future__ import annotations

import time

import click
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from config.settings import Settings
from config.urls import masked
from worker.cli.context import read_settings
from worker.cli.help import HelpCommand
from worker.cli.local.data_directory import data_directory
from worker.cli.local.log_files import LogTail
from worker.cli.local.shutdown import signals_handled, stop_at_end
from worker.cli.local.stack import REDIS_PORT, Stack, StackOptions
from worker.cli.local.supervisor import Supervisor
from worker.cli.output import console, plain
from worker.sandbox.options import DEFAULT_PORT

REFRESH_S = 0.2
MODEL = "my-model"
"""A model in the sandbox of `up`, for trying out a training."""

SNIPPET = """\
from celery import Celery

app = Celery(broker="{broker}", backend="{redis}")
job = app.send_task("photogpt.generate_image", kwargs={{
    "request": {{"modelID": "nanobanana", "prompt": "a quiet harbour at dawn"}},
}})
print(job.id, job.get(timeout=600)["images"][0]["url"])"""


@click.command("up", cls=HelpCommand)
@click.option("--workers", default=1, type=click.IntRange(1, 64), show_default=True, help="Number of workers.")
@click.option("--flower/--no-flower", default=True, show_default=True, help="Whether to run Flower.")
@click.option(
    "--redis-port", default=REDIS_PORT, show_default=True, help="Port of the embedded Valkey; another one if taken."
)
@click.option(
    "--sandbox-port", default=DEFAULT_PORT, show_default=True, help="Port of the sandbox; another one if taken."
)
def up(workers: int, redis_port: int, sandbox_port: int, *, flower: bool) -> None:
    """Run the whole service on this machine, until Ctrl-C.

    Starts an embedded Valkey (a Redis server) unless PHOTOGPT_REDIS_URL is set, a sandbox in place of PhotoGPT unless
    PHOTOGPT_API_KEY is set, the workers, and Flower. A process that dies is restarted. Jobs survive a restart: Valkey
    stores them in PHOTOGPT_DATA_DIR. Every port is open on this machine only.

    Example:
      photogpt-worker up --workers 2

    Settings:
      PHOTOGPT_API_KEY                       the account that pays; without it:
                                             the sandbox
      PHOTOGPT_REDIS_URL                     your own Redis; without it: the
                                             embedded Valkey
      PHOTOGPT_BROKER_URL                    another broker for messages
                                             (amqp://…); jobs stay in Redis
      PHOTOGPT_HTTP_ADDRESS                  metrics of the first worker; each
                                             further one has the next port
      PHOTOGPT_DATA_DIR                      data and logs (.photogpt)
      PHOTOGPT_WEBHOOK_SECRETS               without it: one is made for this run
                                             and printed
      PHOTOGPT_FLOWER_PASSWORD, …_PORT       without a password: one is made for
                                             this run and printed
    """
    settings, out = read_settings(), console()
    directory = settings.data_dir.absolute()
    options = StackOptions(
        directory=directory,
        embedded=settings.redis_url is None,
        sandboxed=settings.api_key is None,
        workers=workers,
        flower=flower,
        sandbox_options=("--journal", str(directory / "sandbox.journal"), "--model", MODEL),
        redis_port=redis_port,
        sandbox_port=sandbox_port,
    )
    _run(settings, options, out)


def _run(settings: Settings, options: StackOptions, out: Console) -> None:
    supervisor = Supervisor(lambda text: out.print(f"[yellow]up │ {plain(text)}[/]", soft_wrap=True))
    stack = Stack(settings, options, supervisor)
    with signals_handled(supervisor), data_directory(options.directory), stop_at_end(supervisor, out):
        tails = {name: LogTail(stack.log(name)) for name in stack.worker_names()}
        out.print("[bright_black]starting …[/]")
        stack.start()
        _print_intro(stack, out)
        while True:
            time.sleep(REFRESH_S)
            supervisor.restart_dead()
            for name, tail in tails.items():
                for line in tail.new_lines():
                    out.print(f"[cyan]{name} │[/] {plain(line)}", soft_wrap=True)


def _print_intro(stack: Stack, out: Console) -> None:
    if stack.options.sandboxed:
        out.print(
            Panel(
                "PHOTOGPT_API_KEY is not set, so the workers use a [bold]sandbox[/]: a PhotoGPT on this machine that "
                "costs nothing and draws its own pictures. Set the key to use the real PhotoGPT.\n"
                f"The sandbox has a model [bold]{MODEL}[/] to train. To send webhooks to this machine, set "
                "PHOTOGPT_WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8.",
                title="sandbox",
                style="yellow",
            )
        )
    out.print("[bold]photogpt-worker is up[/]")
    for name, value in _addresses(stack).items():
        out.print(f"  [bold]{name:<15}[/] {plain(value)}", soft_wrap=True)
    out.print()
    out.print("[bold]Enqueue a job[/] from any Python with Celery:\n")
    out.print(escape(_snippet(stack)), soft_wrap=True, style="green")
    out.print("\nor in another terminal:\n")
    out.print(f"[green]export PHOTOGPT_REDIS_URL={escape(stack.redis_url)}[/]", soft_wrap=True)
    out.print('[green]photogpt-worker submit image --prompt "a quiet harbour at dawn" --wait[/]', soft_wrap=True)
    out.print("\nThe workers' log follows. [bold]Ctrl-C ends everything.[/]\n")


def _addresses(stack: Stack) -> dict[str, str]:
    """Return the addresses and logins of the processes by name."""
    settings, options = stack.settings, stack.options
    redis = f"embedded Valkey, data in {options.directory / 'valkey'}" if options.embedded else "your own"
    found = {"Redis": f"{stack.redis_url}  ({redis})"}
    if settings.broker_url is not None:
        found["Broker"] = masked(settings.queue_url)
    found["PhotoGPT"] = f"{stack.base_url}  ({'sandbox' if options.sandboxed else 'costs credits'})"
    if stack.flower_url:
        password = stack.flower_password if stack.new_flower_password else "PHOTOGPT_FLOWER_PASSWORD"
        found["Flower"] = f"{stack.flower_url}  user {settings.flower_user}, password {password}"
    if stack.new_webhook_secret:
        found["Webhook secret"] = f"{stack.new_webhook_secret}  (for this run)"
    pids = stack.supervisor.pids()
    found["Workers"] = ", ".join(f"{name} (process {pids[name]})" for name in stack.worker_names())
    return found | {"Logs": str(options.directory / "logs")}


def _snippet(stack: Stack) -> str:
    broker = masked(stack.settings.queue_url) if stack.settings.broker_url else stack.redis_url
    return SNIPPET.format(broker=broker, redis=stack.redis_url)
