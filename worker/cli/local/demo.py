"""`photogpt-worker demo`: a first run that needs nothing."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import click
from celery import Celery
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from config.settings import Settings, load_settings
from config.webhook_keys import new_webhook_secret
from worker.cli.context import FAILED, USAGE, CommandError, connected_store, read_settings
from worker.cli.help import HelpCommand
from worker.cli.local.contact_sheet import write_contact_sheet
from worker.cli.local.demo_display import DemoDisplay, print_files, print_results
from worker.cli.local.demo_files import errors_of, files_of
from worker.cli.local.demo_jobs import DURATIONS_S, MODELS, SANDBOX_PLANS, Plan, Run, enqueue, real_plans
from worker.cli.local.log_files import last_lines
from worker.cli.local.own_settings import names_of_settings, own_settings, settings_of_photogpt
from worker.cli.local.receiver import VerifyingReceiver
from worker.cli.local.shutdown import signals_handled, stop_at_end
from worker.cli.local.stack import Stack, StackOptions
from worker.cli.local.supervisor import Supervisor
from worker.cli.output import console, plain, status
from worker.domain.errors import ApiError
from worker.outputs.folder import UNFINISHED
from worker.photogpt.client import PhotoGPT
from worker.store.store import Store

REFRESH_S = 0.1
SANDBOX_TIMEOUT_S = 60.0
REAL_TIMEOUT_S = 2400.0
FILES_DEADLINE_S, REAL_FILES_DEADLINE_S = 15, 600
"""Seconds after which a job ends without a file that cannot be stored: at the sandbox, and at the real PhotoGPT."""
WEBHOOK_TIMEOUT_S = 10.0
"""How long the demo waits for webhooks after the last job ended."""

FLOWER_PORT = "PHOTOGPT_FLOWER_PORT"
"""The one setting of the environment that the demo uses."""
MAX_PORT = 65535


FOLDER = Path("demo-outputs")


class Show(NamedTuple):
    """What a run of the demo does."""

    plans: tuple[Plan, ...]
    folder: Path
    """For pictures and videos, absolute."""
    folder_as_given: Path
    """As the command line names it, which is shorter to print."""
    keep: bool
    """Whether everything keeps running afterwards."""


@click.command("demo", cls=HelpCommand)
@click.option("--keep", is_flag=True, help="Keep everything running afterwards, until Ctrl-C.")
@click.option("--yes", is_flag=True, help="Use the real API with PHOTOGPT_API_KEY, and spend credits.")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default=True,
    help="Folder for the pictures and videos.",
)
@click.option("--model", help="With --yes: also train this model of yours.")
def demo(model: str | None, folder: Path, *, keep: bool, yes: bool) -> None:
    """Run all four kinds of job, from enqueue to signed webhook, and show them side by side.

    Starts everything in a temporary directory: an embedded Valkey, a sandbox in place of PhotoGPT, one worker, Flower
    and a receiver of webhooks. Enqueues an image, an upscale, a video, a training and a chain of three through a bare
    Celery app, waits until every job has ended, and verifies the signature of every webhook. Saves the pictures and
    videos, with one page that shows them all, and leaves no other files behind. Takes about 20 seconds.
    Exit code 0: everything succeeded; 1: a job or a webhook failed, or a file was not stored.

    The demo brings its own settings: it uses neither those of the environment nor those in .env.

    Example:
      photogpt-worker demo --keep

    Settings:
      PHOTOGPT_FLOWER_PORT                   preferred port of Flower (5555)
      PHOTOGPT_API_KEY, …_API_…, …_BASE_URL  with --yes only: the account that
                                             pays, and how its API is reached
    """
    out, unused = console(), names_of_settings()
    variables = _photogpt_variables() if yes else {}
    sandboxed = "PHOTOGPT_API_KEY" not in variables
    port = os.environ.get(FLOWER_PORT, "")
    variables |= {FLOWER_PORT: port} if port.isdecimal() and 0 < int(port) <= MAX_PORT else {}
    absolute = folder.absolute()  # the demo works in another directory
    _make_folder(absolute)
    supervisor = Supervisor(lambda text: out.print(f"[yellow]{plain(text)}[/]", soft_wrap=True))
    passed = False
    with (
        signals_handled(supervisor),
        _temporary_directory() as directory,
        own_settings(directory, variables),
        stop_at_end(supervisor, out),
    ):
        secret = new_webhook_secret("hmac")
        stack = Stack(load_settings(), _stack_options(directory, absolute, secret, sandboxed=sandboxed), supervisor)
        _print_unused([name for name in unused if name not in variables], out)
        with status(out, "starting Valkey, the sandbox, a worker and Flower …"):
            stack.start()
        _print_intro(stack, out)
        plans = SANDBOX_PLANS if sandboxed else real_plans(model)
        passed = _run(stack, secret, out, Show(plans, absolute, folder, keep))
    sys.exit(0 if passed else FAILED)


def _photogpt_variables() -> dict[str, str]:
    """Return the settings for the real API, after a check that it answers and accepts the key."""
    settings = read_settings()
    if settings.api_key is not None:
        _check_api(settings)
    return settings_of_photogpt(settings)


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    try:
        directory = tempfile.TemporaryDirectory(prefix="photogpt-demo-", ignore_cleanup_errors=True)
    except OSError as error:
        raise CommandError(f"no temporary directory can be made ({error.strerror}); set TMPDIR to one") from None
    with directory as name:
        (Path(name) / "logs").mkdir()
        yield Path(name)


def _print_unused(names: list[str], out: Console) -> None:
    if names:
        out.print(f"The demo brings its own settings. It does not use {plain(', '.join(names))}.\n", soft_wrap=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"cannot make the folder {folder} ({error.strerror}); set another with --to", USAGE
        ) from None


def _check_api(settings: Settings) -> None:
    """Fail before anything starts if PhotoGPT does not answer or refuses the key."""
    client = PhotoGPT(settings)
    try:
        client.ping()
    except ApiError as error:
        raise CommandError(str(error)) from None
    finally:
        client.close()


def _stack_options(directory: Path, folder: Path, secret: str, *, sandboxed: bool) -> StackOptions:
    environment = {
        "PHOTOGPT_WEBHOOK_SECRETS": secret,
        "PHOTOGPT_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",  # the receiver runs on this machine
        "PHOTOGPT_LOG_LEVEL": "INFO",
        "PHOTOGPT_OUTPUTS": folder.as_uri(),
        "PHOTOGPT_OUTPUTS_KEY": "{id}-{n}{ext}",
        "PHOTOGPT_OUTPUTS_WHEN": "before",  # a job that has ended has its files
        "PHOTOGPT_OUTPUTS_DEADLINE_S": str(FILES_DEADLINE_S if sandboxed else REAL_FILES_DEADLINE_S),
    }
    if sandboxed:
        environment |= {"PHOTOGPT_JOB_POLL_INTERVAL_S": "1", "PHOTOGPT_MODEL_POLL_INTERVAL_S": "2"}
    durations = [text for kind, seconds in DURATIONS_S.items() for text in ("--duration", f"{kind}={seconds}")]
    models = [text for name in MODELS for text in ("--model", name)]
    return StackOptions(
        directory=directory,
        embedded=True,
        sandboxed=sandboxed,
        sandbox_options=(*durations, *models),
        environment=environment,
        redis_port=0,
        sandbox_port=0,
    )


def _print_intro(stack: Stack, out: Console) -> None:
    if stack.options.sandboxed:
        durations = ", ".join(f"{kind} {seconds} s" for kind, seconds in DURATIONS_S.items())
        text = (
            "The workers use a [bold]sandbox[/], a PhotoGPT on this machine that draws its pictures and videos itself. "
            "With PHOTOGPT_API_KEY and --yes, the demo uses the real API and spends credits.\n"
            f"Short durations: {durations}. Jobs are polled every 1 s (by default 5 s), models every 2 s (by default 5 "
            "minutes).\nEverything else is as in production: Celery, Redis, HTTP, signed webhooks."
        )
    else:
        text = "This run uses the [bold]real API[/] and spends credits."
    out.print(Panel(text, title="photogpt-worker demo", style="yellow", width=min(out.width, 118)))
    out.print(f"Flower shows workers and tasks during the demo: {stack.flower_url}")
    out.print(f"  user [bold]{plain(stack.settings.flower_user)}[/], password [bold]{plain(stack.flower_password)}[/]")
    out.print(f"Redis     {stack.redis_url}")
    out.print(f"PhotoGPT  {plain(stack.base_url)}\n", soft_wrap=True)


def _run(stack: Stack, secret: str, out: Console, show: Show) -> bool:
    """Run every plan, save the outputs, and return whether everything succeeded."""
    sandboxed = stack.options.sandboxed
    receiver = VerifyingReceiver(secret)
    try:
        with connected_store(load_settings(redis_url=stack.redis_url)) as store:
            runs = enqueue(Celery(broker=stack.redis_url, backend=stack.redis_url), show.plans, receiver.url)
            with DemoDisplay(out, runs, receiver, timed=sandboxed) as display:
                _follow(runs, store, stack, display, SANDBOX_TIMEOUT_S if sandboxed else REAL_TIMEOUT_S)
                _wait_for_webhooks(runs, receiver, display)
        print_results(out, runs, receiver)
        stored = _show_files(runs, show, out)
        passed = _print_verdict(runs, receiver, stack, out) and stored
        if show.keep:
            _keep(runs, stack, out)
    finally:
        receiver.close()
    return passed


def _follow(runs: list[Run], store: Store, stack: Stack, display: DemoDisplay, timeout_s: float) -> None:
    """Show the runs until every one has ended or the time is over."""
    deadline = time.monotonic() + timeout_s
    while any(run.ended is None for run in runs) and time.monotonic() < deadline:
        for run in runs:
            run.refresh(store)
        display.refresh()
        stack.supervisor.restart_dead()
        time.sleep(REFRESH_S)


def _wait_for_webhooks(runs: list[Run], receiver: VerifyingReceiver, display: DemoDisplay) -> None:
    ended = [outcome["id"] for run in runs for outcome in run.outcomes if outcome["finished_at"]]
    deadline = time.monotonic() + WEBHOOK_TIMEOUT_S
    while not all(receiver.verified[job_id] for job_id in ended) and time.monotonic() < deadline:
        display.refresh()
        time.sleep(REFRESH_S)
    display.refresh()


def _show_files(runs: list[Run], show: Show, out: Console) -> bool:
    """Print where the files of every run are, and return whether all were stored."""
    files = [file for run in runs for file in files_of(run)]
    errors = [error for run in runs for error in errors_of(run)]
    with suppress(OSError):
        (show.folder / UNFINISHED).rmdir()  # empty now, unless a worker was killed
    print_files(out, files, show.folder_as_given, write_contact_sheet(show.folder, files))
    for error in errors:
        out.print(f"[red]Not stored: {plain(error)}[/]", soft_wrap=True)
    return not errors


def _print_verdict(runs: list[Run], receiver: VerifyingReceiver, stack: Stack, out: Console) -> bool:
    jobs = sum(len(run.ids) for run in runs)
    verified = sum(receiver.verified.values())
    failed = [run.plan.title for run in runs if run.state != "succeeded"]
    if not failed and verified == jobs and not receiver.refused:
        out.print(f"[green]All {jobs} jobs succeeded, and the signatures of all {verified} webhooks were verified.[/]")
        return True
    if failed:
        out.print(f"[red]Not succeeded: {escape(', '.join(failed))}.[/]")
    if verified != jobs or receiver.refused:
        reasons = f"; refused: {', '.join(sorted(set(receiver.refused)))}" if receiver.refused else ""
        out.print(f"[red]{verified} of {jobs} webhooks were verified{escape(reasons)}.[/]")
    log = escape(last_lines(stack.log("worker-1")))
    out.print(f"[red]The worker's log ends with:[/]\n{log}", soft_wrap=True)
    return False


def _keep(runs: list[Run], stack: Stack, out: Console) -> None:
    """Keep everything running until Ctrl-C."""
    out.print("\nEverything keeps running. In another terminal, try")
    out.print(f"[green]export PHOTOGPT_REDIS_URL={stack.redis_url}[/]", soft_wrap=True)
    out.print(f"[green]photogpt-worker show {runs[0].ids[-1]}[/]", soft_wrap=True)
    out.print('[green]photogpt-worker submit image --prompt "a lighthouse" --wait[/]', soft_wrap=True)
    out.print("[bold]Ctrl-C ends everything.[/]")
    try:
        while True:
            time.sleep(REFRESH_S)
            stack.supervisor.restart_dead()
    except KeyboardInterrupt:
        out.print("\n[bright_black]stopping[/]")
