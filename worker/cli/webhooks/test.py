"""`photogpt-worker webhooks test`: does a receiver take what workers send, and does it refuse what is forged?"""

from __future__ import annotations

import logging
import sys
import time

import click
from rich.console import Console
from rich.markup import escape

from config.settings import Settings
from worker.cli.context import USAGE, CommandError, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console, plain
from worker.cli.webhooks.advice import UNSIGNED, advice
from worker.cli.webhooks.sample_event import ForgingSender, sample_delivery
from worker.domain.delivery import Delivery
from worker.domain.errors import DeliveryError
from worker.domain.submission import EVENT_TYPES, check_webhook_url
from worker.store.connection import bodies_of
from worker.webhooks.sender import WebhookSender
from worker.webhooks.signing import TOLERANCE_S

NOT_TAKEN = 1
BELIEVES_ANYTHING = 3
SLOW_S = 2.0
"""An answer that takes longer will be too slow on a bad day."""


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
    """Send one signed test event to URL, as a worker would, and explain in plain words what went wrong.

    URL is PHOTOGPT_WEBHOOK_URL if it is left out. The event has the shape of a real one, metadata {"test": true} and a
    webhook-id that begins with msg_test_. If it is taken, two more follow that a receiver must refuse: one whose
    signature is one bit off, and one whose time stamp is old. Nothing is written down, and nothing is tried again.

    Exit codes:
      0  taken, and what was forged was refused, or was not sent
      1  not taken
      2  the settings or the arguments cannot be used
      3  taken, but the receiver takes forged events as well

    Example:
      photogpt-worker webhooks test https://shop.example/webhooks/photogpt
      photogpt-worker webhooks test http://127.0.0.1:8800/ --type job.failed

    Settings that matter, the same as the workers have: PHOTOGPT_WEBHOOK_SECRETS, PHOTOGPT_WEBHOOK_ALLOW_NETWORKS.
    """
    settings, out = read_settings(), console()
    logging.getLogger("requests_hardened").addHandler(logging.NullHandler())  # what it says is told below, in words
    target = url or settings.webhook_url
    if target is None:
        raise CommandError("no URL is given, and PHOTOGPT_WEBHOOK_URL is not set", USAGE)
    try:
        check_webhook_url(target)
    except ValueError as error:
        raise CommandError(f"the URL {error}", USAGE) from None
    if not _taken(settings, target, event, out):
        sys.exit(NOT_TAKEN)
    if not settings.webhook_secrets:
        _warn(out, UNSIGNED)
    elif probe and not _refuses_forgeries(settings, target, event, out):
        sys.exit(BELIEVES_ANYTHING)


def _taken(settings: Settings, url: str, event: str, out: Console) -> bool:
    """Send the true event, and tell what came of it."""
    sender = WebhookSender(settings)
    now = time.time()
    delivery = sample_delivery(url, event, at=now, bodies=bodies_of(settings))
    out.print(f"sending {event} to {escape(url)} as {delivery.id}", soft_wrap=True)
    try:
        taken = sender.send(delivery, at=now)
    except DeliveryError as error:
        out.print(f"[red]✗[/] {escape(plain(error))}", soft_wrap=True)
        out.print(f"  {escape(advice(error, url, settings))}", soft_wrap=True)
        return False
    finally:
        sender.close()
    out.print(f"[green]✓[/] taken with {taken.status} in {taken.duration_s * 1000:.0f} ms")
    if taken.disable:
        _warn(out, "It says webhook-delivery: disable: workers would send nothing more to this endpoint.")
    if taken.duration_s > SLOW_S:
        _warn(
            out,
            f"That is slow: after {settings.webhook_deadline_s:g} s the attempt is given up, and the event comes "
            "again. Answer 204 first and do the work afterwards.",
        )
    return True


def _refuses_forgeries(settings: Settings, url: str, event: str, out: Console) -> bool:
    """Send what no receiver may believe, and tell what came of it."""
    now = time.time()
    forgeries = (
        ("whose signature is one bit off", ForgingSender(settings), now),
        ("that was signed an hour ago", WebhookSender(settings), now - 12 * TOLERANCE_S),
    )
    refused = [_refuses(what, sender, sample_delivery(url, event, at=at), at, out) for what, sender, at in forgeries]
    return all(refused)


def _refuses(what: str, sender: WebhookSender, forged: Delivery, at: float, out: Console) -> bool:
    try:
        taken = sender.send(forged, at=at)
    except DeliveryError as error:
        if error.status is None or error.status >= 500:
            _warn(out, f"To an event {what} it should answer 4xx: {plain(error)}")
        else:
            out.print(f"[green]✓[/] an event {what} is refused with {error.status}")
        return True
    finally:
        sender.close()
    out.print(f"[red]✗[/] an event {what} is taken with {taken.status}")
    out.print(
        "  Whoever knows the URL can tell this receiver that a job has ended. Verify signature and time stamp, or "
        "leave it to a Standard Webhooks library: ops/receivers/README.md",
        soft_wrap=True,
    )
    return False


def _warn(out: Console, text: str) -> None:
    out.print(f"[yellow]![/] {escape(text)}", soft_wrap=True)
