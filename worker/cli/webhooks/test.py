"""`photogpt-worker webhooks test`: whether a receiver accepts real events and refuses forged ones."""

from __future__ import annotations

import logging
import sys
import time

import click
from rich.console import Console

from config.settings import Settings
from worker.cli.context import FAILED, USAGE, CommandError, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console, plain, printable
from worker.cli.webhooks.advice import UNSIGNED, advice
from worker.cli.webhooks.sample_event import ForgingSender, sample_delivery
from worker.domain.delivery import Delivery
from worker.domain.errors import DeliveryError
from worker.domain.submission import EVENT_TYPES, check_webhook_url
from worker.store.store import bodies_of
from worker.webhooks.sender import WebhookSender
from worker.webhooks.signing import TOLERANCE_S

ACCEPTS_FORGERIES = 3
SLOW_S = 2.0
"""A receiver that takes longer now is likely to exceed the deadline under load."""


@click.command("test", cls=HelpCommand)
@click.argument("url", required=False)
@click.option(
    "--type",
    "event",
    type=click.Choice(sorted(EVENT_TYPES)),
    default="job.succeeded",
    show_default=True,
    metavar="TYPE",
    help="Such as job.failed or model.succeeded.",
)
@click.option("--probe/--no-probe", default=True, show_default=True, help="Send two forged events as well.")
def webhooks_test(url: str | None, event: str, *, probe: bool) -> None:
    """Send one signed test event to URL, as a worker would, and explain a failure.

    URL defaults to PHOTOGPT_WEBHOOK_URL. The event has the shape of a real one, metadata {"test": true} and a
    webhook-id that begins with msg_test_. If the receiver accepts it, two more events follow that a receiver must
    refuse: one with a wrong bit in its signature, and one with an old time stamp. The command stores nothing and
    retries nothing.

    Exit codes:
      0  the event was accepted, and the forged events were refused or not sent
      1  the event was not accepted
      2  invalid settings or arguments
      3  the event was accepted, but the receiver accepts forged events as well

    Example:
      photogpt-worker webhooks test https://shop.example/webhooks/photogpt
      photogpt-worker webhooks test http://127.0.0.1:8800/ --type job.failed

    Settings, the same as for the workers: PHOTOGPT_WEBHOOK_SECRETS, PHOTOGPT_WEBHOOK_ALLOW_NETWORKS.
    """
    settings, out = read_settings(), console()
    logging.getLogger("requests_hardened").addHandler(logging.NullHandler())  # `advice` explains what it logs
    target = _target(url or settings.webhook_url)
    if not _accepts(settings, target, event, out):
        sys.exit(FAILED)
    if not settings.webhook_secrets:
        _warn(out, UNSIGNED)
    elif probe and not _refuses_forgeries(settings, target, event, out):
        sys.exit(ACCEPTS_FORGERIES)


def _target(url: str | None) -> str:
    if url is None:
        raise CommandError("no URL is given, and PHOTOGPT_WEBHOOK_URL is not set; name the receiver's URL", USAGE)
    try:
        check_webhook_url(url)
    except ValueError as error:
        raise CommandError(f"the URL {error}", USAGE) from None
    return url


def _accepts(settings: Settings, url: str, event: str, out: Console) -> bool:
    """Send the real event and print the result."""
    sender = WebhookSender(settings)
    now = time.time()
    delivery = sample_delivery(url, event, at=now, bodies=bodies_of(settings))
    out.print(f"sending {event} to {plain(url)} as {delivery.id}", soft_wrap=True)
    try:
        accepted = sender.send(delivery, at=now)
    except DeliveryError as error:
        out.print(f"[red]✗[/] {plain(error)}", soft_wrap=True)
        out.print(f"  {plain(advice(error, url, settings))}", soft_wrap=True)
        return False
    finally:
        sender.close()
    by = f" by {plain(accepted.address)}" if accepted.address else ""
    out.print(f"[green]✓[/] accepted with {accepted.status}{by} in {accepted.duration_s * 1000:.0f} ms")
    if accepted.disable:
        _warn(out, "The answer has webhook-delivery: disable: workers would send no more events to this endpoint.")
    if accepted.duration_s > SLOW_S:
        _warn(
            out,
            f"The answer is slow. After {settings.webhook_deadline_s:g} s a worker ends the attempt and retries it "
            "later. Answer 204 first and do the work afterwards.",
        )
    return True


def _refuses_forgeries(settings: Settings, url: str, event: str, out: Console) -> bool:
    """Send two forged events and print the results."""
    now = time.time()
    forgeries = (
        ("with one wrong bit in its signature", ForgingSender(settings), now),
        ("that was signed an hour ago", WebhookSender(settings), now - 12 * TOLERANCE_S),
    )
    refused = [_refuses(text, sender, sample_delivery(url, event, at=at), at, out) for text, sender, at in forgeries]
    return all(refused)


def _refuses(text: str, sender: WebhookSender, forged: Delivery, at: float, out: Console) -> bool:
    try:
        accepted = sender.send(forged, at=at)
    except DeliveryError as error:
        if error.status is None or error.status >= 500:
            _warn(out, f"To an event {text} the receiver should answer 4xx: {printable(error)}")
        else:
            out.print(f"[green]✓[/] an event {text} is refused with {error.status}")
        return True
    finally:
        sender.close()
    out.print(f"[red]✗[/] an event {text} is accepted with {accepted.status}")
    out.print(
        "  Anyone who knows the URL can report the end of a job to this receiver. Verify signature and time stamp, or "
        "use a Standard Webhooks library: ops/receivers/README.md",
        soft_wrap=True,
    )
    return False


def _warn(out: Console, text: str) -> None:
    out.print(f"[yellow]![/] {plain(text)}", soft_wrap=True)
