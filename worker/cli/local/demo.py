"""`photogpt-worker demo`: what a newcomer sees first."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click
from celery import Celery
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from config.secrets import new_webhook_secret
from config.settings import Settings, load_settings
from worker.cli.context import USAGE, CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.local.demo_display import Screen, final_table
from worker.cli.local.demo_jobs import DURATIONS_S, MODELS, SANDBOX_PLANS, Line, Plan, enqueue, real_plans
from worker.cli.local.receiver import VerifyingReceiver
from worker.cli.local.shutdown import stop_at_end
from worker.cli.local.stack import Stack, Wanted, end_of, start_stack
from worker.cli.local.supervisor import Supervisor
from worker.cli.output import console
from worker.domain.errors import ApiError
from worker.photogpt.client import PhotoGPT
from worker.store.connection import Store

LOOK_S = 0.1
SANDBOX_TIMEOUT_S = 60.0
REAL_TIMEOUT_S = 2400.0
WEBHOOKS_S = 10.0
"""After the last job ended, its webhook may still be on its way for so long."""


@click.command(
    "demo",
    cls=HelpCommand,
)
@click.option("--keep", is_flag=True, help="Keep everything running afterwards, until Ctrl-C.")
@click.option("--yes", is_flag=True, help="With PHOTOGPT_API_KEY set: yes, spend credits.")
@click.option("--model", help="With PHOTOGPT_API_KEY set: also train this model of yours.")
def demo(model: str | None, *, keep: bool, yes: bool) -> None:
    """See it work: all four kinds, from enqueue to signed webhook.

    Starts everything in a temporary directory (an embedded Valkey, a sandbox in place of PhotoGPT, one worker, Flower,
    a receiver of webhooks), enqueues an image, an upscaling, a video, a training and a chain of three through a bare
    Celery app, and shows them side by side until all have ended and every webhook's signature was checked. Takes about
    20 seconds and leaves nothing behind. Exit code 0: everything succeeded; 1: something did not.

    Example:
      photogpt-worker demo --keep

    Settings that matter:
      PHOTOGPT_API_KEY                       if set: the real API, which costs credits; the demo asks for --yes
      PHOTOGPT_FLOWER_PASSWORD, …_PORT       Flower's login; without a password one is made
    """
    settings, out = read_settings(), console()
    sandboxed = settings.api_key is None
    if not sandboxed and not yes:
        raise CommandError(
            "PHOTOGPT_API_KEY is set, so the demo would use the real API and spend credits (an image, an upscaling, a "
            "video). Say --yes to do that, or unset the key to see it with the sandbox for nothing",
            USAGE,
        )
    if not sandboxed:
        _check_api(settings)
    supervisor = Supervisor(lambda text: out.print(f"[yellow]{escape(text)}[/]", soft_wrap=True))
    passed = False
    with tempfile.TemporaryDirectory(prefix="photogpt-demo-") as directory, stop_at_end(supervisor, out):
        plans = SANDBOX_PLANS if sandboxed else real_plans(model)
        passed = _run(settings, supervisor, out, Path(directory), plans=plans, keep=keep)
    sys.exit(0 if passed else 1)


def _check_api(settings: Settings) -> None:
    """Find out that PhotoGPT does not answer, or not to this key, before anything is started."""
    client = PhotoGPT(settings)
    try:
        client.ping()
    except ApiError as error:
        raise CommandError(str(error)) from None
    finally:
        client.close()


def _run(  # noqa: PLR0913 - everything that the demo is
    settings: Settings, supervisor: Supervisor, out: Console, directory: Path, *, plans: tuple[Plan, ...], keep: bool
) -> bool:
    secret = new_webhook_secret("hmac")
    sandboxed = plans is SANDBOX_PLANS
    receiver = VerifyingReceiver(secret)
    try:
        with out.status("starting Valkey, the sandbox, a worker and Flower …"):
            made = start_stack(settings, _wanted(directory, secret, sandboxed=sandboxed), supervisor)
        _introduce(made, out)
        with connected_store(load_settings(redis_url=made.redis_url)) as store:
            lines = enqueue(Celery(broker=made.redis_url, backend=made.redis_url), plans, receiver.url)
            with Screen(out, lines, receiver, timed=sandboxed) as screen:
                _watch(lines, store, supervisor, screen, SANDBOX_TIMEOUT_S if sandboxed else REAL_TIMEOUT_S)
                _await_webhooks(lines, receiver, screen)
        out.print(final_table(lines, receiver))
        passed = _verdict(lines, receiver, made, out)
        if keep:
            _keep(lines, made, out)
    finally:
        receiver.close()
    return passed


def _keep(lines: list[Line], made: Stack, out: Console) -> None:
    """Wait for Ctrl-C."""
    out.print("\nEverything keeps running; in another terminal, try")
    out.print(f"[green]export PHOTOGPT_REDIS_URL={made.redis_url}[/]", soft_wrap=True)
    out.print(f"[green]photogpt-worker show {lines[0].ids[-1]}[/]", soft_wrap=True)
    out.print('[green]photogpt-worker submit image --prompt "a lighthouse" --wait[/]', soft_wrap=True)
    out.print("[bold]Ctrl-C ends everything.[/]")
    try:
        while True:
            time.sleep(LOOK_S)
            made.supervisor.restart_dead()
    except KeyboardInterrupt:
        out.print("\n[bright_black]stopping[/]")


def _wanted(directory: Path, secret: str, *, sandboxed: bool) -> Wanted:
    environment = {
        "PHOTOGPT_WEBHOOK_SECRETS": secret,
        "PHOTOGPT_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",  # the receiver is on this supervisor
        "PHOTOGPT_LOG_LEVEL": "INFO",
    }
    if sandboxed:
        environment |= {"PHOTOGPT_JOB_POLL_INTERVAL_S": "1", "PHOTOGPT_MODEL_POLL_INTERVAL_S": "2"}
    durations = [text for kind, seconds in DURATIONS_S.items() for text in ("--duration", f"{kind}={seconds}")]
    models = [text for name in MODELS for text in ("--model", name)]
    return Wanted(
        directory=directory,
        embedded=True,
        sandboxed=sandboxed,
        sandbox_options=(*durations, *models),
        environment=environment,
        own_broker=True,
        redis_port=0,
        sandbox_port=0,
    )


def _introduce(made: Stack, out: Console) -> None:
    settings = made.settings
    if made.wanted.sandboxed:
        took = ", ".join(f"{kind} {seconds} s" for kind, seconds in DURATIONS_S.items())
        told = (
            "No PHOTOGPT_API_KEY is set: this talks to a [bold]sandbox[/], a PhotoGPT on this machine that makes no "
            f"real pictures.\nDurations shortened: {took}. Looks every 1 s (usually 5 s), at models every 2 s "
            "(usually 5 minutes).\nEverything else is as in production: Celery, Redis, HTTP, signed webhooks."
        )
    else:
        told = "PHOTOGPT_API_KEY is set: this uses the [bold]real API[/] and spends credits."
    out.print(Panel(told, title="photogpt-worker demo", style="yellow", width=min(out.width, 118)))
    shown = made.flower_password if made.new_flower_password else "PHOTOGPT_FLOWER_PASSWORD"
    out.print(
        f"Flower shows workers and tasks while this runs: [link]{made.flower_url}[/link]  "
        f"user [bold]{escape(settings.flower_user)}[/], password [bold]{escape(shown)}[/]",
        soft_wrap=True,
    )
    out.print(f"Redis: {made.redis_url}   PhotoGPT: {made.base_url}\n", soft_wrap=True)


def _watch(lines: list[Line], store: Store, supervisor: Supervisor, screen: Screen, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while any(line.ended is None for line in lines) and time.monotonic() < deadline:
        for line in lines:
            line.read(store)
        screen.show()
        supervisor.restart_dead()
        time.sleep(LOOK_S)


def _await_webhooks(lines: list[Line], receiver: VerifyingReceiver, screen: Screen) -> None:
    """Wait for the webhooks of what has ended."""
    ended = [outcome["id"] for line in lines for outcome in line.outcomes if outcome["finished_at"]]
    deadline = time.monotonic() + WEBHOOKS_S
    while not all(receiver.verified[job_id] for job_id in ended) and time.monotonic() < deadline:
        screen.show()
        time.sleep(LOOK_S)
    screen.show()


def _verdict(lines: list[Line], receiver: VerifyingReceiver, made: Stack, out: Console) -> bool:
    wanted = sum(len(line.ids) for line in lines)
    verified = sum(receiver.verified.values())
    failed = [line.plan.title for line in lines if line.state != "succeeded"]
    if not failed and verified == wanted and not receiver.refused:
        out.print(
            f"[green]All {wanted} jobs succeeded, and the signatures of all {verified} webhooks were verified.[/]"
        )
        return True
    if failed:
        out.print(f"[red]Not succeeded: {escape(', '.join(failed))}.[/]")
    if verified != wanted or receiver.refused:
        why = f"; refused: {', '.join(sorted(set(receiver.refused)))}" if receiver.refused else ""
        out.print(f"[red]{verified} of {wanted} webhooks were verified{escape(why)}.[/]")
    out.print(f"[red]The worker's log ends with:[/]\n{escape(end_of(made.log('worker-1')))}", soft_wrap=True)
    return False
