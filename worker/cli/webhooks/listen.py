"""`photogpt-worker webhooks listen`: a receiver in a terminal."""

from __future__ import annotations

import queue
from contextlib import suppress
from datetime import datetime

import click
from rich.console import Console

from config.settings import Settings
from config.webhook_keys import new_webhook_secret, verifying_key
from worker.cli.context import USAGE, CommandError, read_settings
from worker.cli.help import HelpCommand
from worker.cli.local.receiver import ReceivedWebhook, VerifyingReceiver
from worker.cli.output import console, plain, printable, state
from worker.cli.streams import json_text

UNSIGNED = "it is not signed: the sender has no PHOTOGPT_WEBHOOK_SECRETS"
OTHER_KEY = "the sender has other PHOTOGPT_WEBHOOK_SECRETS, or the body was changed on the way"
WAIT_S = 0.2
"""How long one wait for a webhook lasts before Ctrl-C is noticed."""


@click.command("listen", cls=HelpCommand)
@click.option("--port", type=click.IntRange(0, 65535), default=8800, show_default=True, help="0 for any free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    help="whsec_… or whpk_…; repeatable. Other users see it in `ps`.  [default: PHOTOGPT_WEBHOOK_SECRETS]",
)
@click.option("--count", type=click.IntRange(1), help="End after this many verified requests.")
@click.option(
    "--answer", type=click.IntRange(200, 599), default=204, show_default=True, help="HTTP status for verified events."
)
@click.option("--times", type=click.IntRange(1), help="Give --answer this often for each event, then 204.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, with the whole event.")
def webhooks_listen(  # noqa: PLR0913 - one parameter per option
    *, port: int, host: str, secrets: tuple[str, ...], count: int | None, answer: int, times: int | None, as_json: bool
) -> None:
    """Run a receiver in this terminal: print every event with a valid signature, until Ctrl-C.

    A request with an invalid signature is answered 400, and its line gives the reason. An event that comes again with
    the same webhook-id is marked; your receiver should skip it. Without any secret, the command makes one and prints
    the line that configures the workers.

    Example:
      photogpt-worker webhooks listen
      photogpt-worker webhooks listen --answer 503 --times 2    # to see retries
      photogpt-worker webhooks listen --count 1 --json | jq .event.data.state

    Settings: PHOTOGPT_WEBHOOK_SECRETS here and for the workers; PHOTOGPT_WEBHOOK_ALLOW_NETWORKS for the workers, which
    send to a private address such as this one only if the setting lists it.
    """
    keys, new_secret = _keys(secrets, read_settings())
    received: queue.SimpleQueue[ReceivedWebhook] = queue.SimpleQueue()
    try:
        receiver = VerifyingReceiver(
            *keys,
            host=host,
            port=port,
            answer=lambda number: 204 if times and number > times else answer,
            on_received=received.put,
        )
    except OSError as error:
        problem = f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another --port or --host"
        raise CommandError(problem, USAGE) from None
    notes, out = console(stderr=True), console()
    try:
        _print_intro(notes, receiver.url, new_secret)
        with suppress(KeyboardInterrupt):
            _print_received(received, out, count=count, as_json=as_json)
    finally:
        receiver.close()
    verified = sum(receiver.verified.values())
    notes.print(f"[bright_black]{verified} events verified, {len(receiver.refused)} requests refused[/]")


def _keys(given: tuple[str, ...], settings: Settings) -> tuple[list[str], str | None]:
    """Return the secrets to verify with, and the new one if none was configured."""
    secrets = list(given) or [secret.get_secret_value() for secret in settings.webhook_secrets]
    try:
        for secret in secrets:
            verifying_key(secret)
    except ValueError as error:
        raise CommandError(f"--secret {error}", USAGE) from None
    if secrets:
        return secrets, None
    made = new_webhook_secret("hmac")
    return [made], made


def _print_intro(notes: Console, url: str, new_secret: str | None) -> None:
    notes.print(f"Listening on [bold]{url}[/]; Ctrl-C ends it.")
    if new_secret is None:
        return
    notes.print("No secret is set, so this is a new one. Set it for the workers:")
    notes.print(f"[green]export PHOTOGPT_WEBHOOK_SECRETS={new_secret}[/]", soft_wrap=True)
    notes.print("[green]export PHOTOGPT_WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8[/]", soft_wrap=True)


def _print_received(
    received: queue.SimpleQueue[ReceivedWebhook], out: Console, *, count: int | None, as_json: bool
) -> None:
    verified = 0
    while count is None or verified < count:
        try:
            webhook = received.get(timeout=WAIT_S)
        except queue.Empty:
            continue
        verified += webhook.event is not None
        if as_json:
            click.echo(json_text(_record(webhook)))
        else:
            _print_line(webhook, out)


def _record(webhook: ReceivedWebhook) -> dict[str, object]:
    return {
        "at": datetime.now().astimezone().isoformat(timespec="milliseconds"),
        "id": webhook.headers.get("webhook-id"),
        "times": webhook.times,
        "answered": webhook.status,
        "refused": _refusal(webhook),
        "event": webhook.event,
    }


def _print_line(webhook: ReceivedWebhook, out: Console) -> None:
    now = f"{datetime.now().astimezone():%H:%M:%S}"
    event = webhook.event
    if event is None:
        out.print(f"{now}  [red]refused[/]  {plain(_refusal(webhook))}", soft_wrap=True)
        return
    data = event["data"]
    line = state(printable(data.get("state"))).append(f"  {webhook.headers['webhook-id']}", style="bright_black")
    if webhook.times > 1:
        line.append(f"  attempt {webhook.times} of the same event", style="yellow")
    if not 200 <= webhook.status < 300:
        line.append(f"  answered {webhook.status}", style="red")
    start = f"{now}  {printable(event.get('type')):<16}  {printable(data['id'])}  "
    out.print(start, line, soft_wrap=True, sep="", markup=False)


def _refusal(webhook: ReceivedWebhook) -> str | None:
    """Return why a request was refused, and what its sender can check."""
    if webhook.refused is None:
        return None
    if "webhook-signature" not in webhook.headers:
        return UNSIGNED if "webhook-id" in webhook.headers else "it is no webhook: it has none of the headers"
    return f"{webhook.refused}: {OTHER_KEY}" if "signature" in webhook.refused else webhook.refused
