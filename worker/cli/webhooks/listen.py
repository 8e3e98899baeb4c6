"""`photogpt-worker webhooks listen`: a receiver in a terminal."""

from __future__ import annotations

import json
import queue
from contextlib import suppress
from datetime import datetime

import click
from rich.console import Console
from rich.markup import escape

from config.secrets import new_webhook_secret, verifying_key
from config.settings import Settings
from worker.cli.context import USAGE, CommandError, read_settings
from worker.cli.help import HelpCommand
from worker.cli.local.receiver import Arrival, VerifyingReceiver
from worker.cli.output import console, plain, state

UNSIGNED = "it is not signed: the sender has no PHOTOGPT_WEBHOOK_SECRETS"
NO_FIT = "the sender's PHOTOGPT_WEBHOOK_SECRETS are others, or something on the way changed the body"
LOOK_S = 0.2
"""Between two chances for Ctrl-C."""


@click.command("listen", cls=HelpCommand)
@click.option("--port", type=click.IntRange(0, 65535), default=8800, show_default=True, help="0 for any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--secret",
    "given",
    multiple=True,
    help="whsec_… or whpk_…; may be repeated. Others here can see it.  [default: PHOTOGPT_WEBHOOK_SECRETS]",
)
@click.option("--count", type=click.IntRange(1), help="End after so many verified requests.")
@click.option("--answer", type=click.IntRange(200, 599), default=204, show_default=True, help="Status for what fits.")
@click.option("--times", type=click.IntRange(1), help="Give that answer so often for each event, then 204.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, the whole event in it.")
def webhooks_listen(  # noqa: PLR0913 - one parameter per option
    *, port: int, host: str, given: tuple[str, ...], count: int | None, answer: int, times: int | None, as_json: bool
) -> None:
    """Be a receiver in this terminal: print every event whose signature fits, until Ctrl-C.

    What does not fit is answered 400, and the line says why. An event that comes again, with the same webhook-id, is
    marked; a receiver of yours would skip it. Without any secret, one is made, and the line for the workers is printed.

    Example:
      photogpt-worker webhooks listen
      photogpt-worker webhooks listen --answer 503 --times 2     watch what is tried again
      photogpt-worker webhooks listen --count 1 --json | jq .event.data.state

    Settings that matter: PHOTOGPT_WEBHOOK_SECRETS here and where the workers run, PHOTOGPT_WEBHOOK_ALLOW_NETWORKS
    there: workers call no private address, such as this one, unless it lists them.
    """
    secrets, made = _secrets(given, read_settings())
    arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
    try:
        receiver = VerifyingReceiver(
            *secrets,
            host=host,
            port=port,
            answer=lambda number: 204 if times and number > times else answer,
            tell=arrivals.put,
        )
    except OSError as error:
        raise CommandError(f"cannot listen on {host}, port {port}: {error.strerror or error}", USAGE) from None
    notes, out = console(stderr=True), console()
    try:
        _introduce(notes, receiver.url, secrets[0] if made else None)
        with suppress(KeyboardInterrupt):
            _print(arrivals, out, count=count, as_json=as_json)
    finally:
        receiver.close()
    fit = sum(receiver.verified.values())
    notes.print(f"[bright_black]{fit} events verified, {len(receiver.refused)} requests refused[/]")


def _secrets(given: tuple[str, ...], settings: Settings) -> tuple[list[str], bool]:
    """Return the secrets to verify with, and whether they are new."""
    secrets = list(given) or [secret.get_secret_value() for secret in settings.webhook_secrets]
    try:
        for secret in secrets:
            verifying_key(secret)
    except ValueError as error:
        raise CommandError(f"--secret {error}", USAGE) from None
    return (secrets, False) if secrets else ([new_webhook_secret("hmac")], True)


def _introduce(notes: Console, url: str, new_secret: str | None) -> None:
    notes.print(f"Listening on [bold]{url}[/]; Ctrl-C ends it.")
    if new_secret is None:
        return
    notes.print("No secret is set, so here is a new one. Where the workers run:")
    notes.print(f"[green]export PHOTOGPT_WEBHOOK_SECRETS={new_secret}[/]", soft_wrap=True)
    notes.print("[green]export PHOTOGPT_WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8[/]", soft_wrap=True)


def _print(arrivals: queue.SimpleQueue[Arrival], out: Console, *, count: int | None, as_json: bool) -> None:
    verified = 0
    while count is None or verified < count:
        try:
            arrival = arrivals.get(timeout=LOOK_S)
        except queue.Empty:
            continue
        verified += arrival.event is not None
        if as_json:
            click.echo(json.dumps(_record(arrival), ensure_ascii=False))
        else:
            _line(arrival, out)


def _record(arrival: Arrival) -> dict[str, object]:
    return {
        "at": datetime.now().astimezone().isoformat(timespec="milliseconds"),
        "id": arrival.headers.get("webhook-id"),
        "times": arrival.times,
        "answered": arrival.status,
        "refused": _why(arrival),
        "event": arrival.event,
    }


def _line(arrival: Arrival, out: Console) -> None:
    now = f"{datetime.now().astimezone():%H:%M:%S}"
    event = arrival.event
    if event is None:
        out.print(f"{now}  [red]refused[/]  {escape(plain(_why(arrival)))}", soft_wrap=True)
        return
    data = event["data"]
    told = state(plain(data.get("state"))).append(f"  {arrival.headers['webhook-id']}", style="bright_black")
    if arrival.times > 1:
        told.append(f"  again, number {arrival.times}", style="yellow")
    if not 200 <= arrival.status < 300:
        told.append(f"  answered {arrival.status}", style="red")
    out.print(
        f"{now}  {plain(event.get('type')):<16}  {plain(data['id'])}  ", told, soft_wrap=True, sep="", markup=False
    )


def _why(arrival: Arrival) -> str | None:
    """Say why a request was refused, with what its sender may look at."""
    if arrival.refused is None:
        return None
    if "webhook-signature" not in arrival.headers:
        return UNSIGNED if "webhook-id" in arrival.headers else "it is no webhook: it has none of the headers"
    return f"{arrival.refused}: {NO_FIT}" if "signature" in arrival.refused else arrival.refused
