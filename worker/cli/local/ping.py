"""`photogpt-worker ping`: is everything there that a worker needs?"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import click
from kombu.exceptions import OperationalError
from redis import RedisError
from rich.console import Console
from rich.markup import escape

from config.settings import Settings
from worker.cli.context import masked, producer, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console
from worker.domain.errors import ApiError
from worker.photogpt.client import PhotoGPT
from worker.store.connection import open_store
from worker.store.lanes import leave_to_lane_monitor


class Trouble(Exception):
    """A check found something wrong, in words."""


@click.command("ping", cls=HelpCommand)
def ping() -> None:
    """Check the settings, Redis, the broker if it is another, and the PhotoGPT API.

    Says what is wrong in words. Spends no credits. Exit code 0: a worker could do its work; 1: something is in the
    way; 2: the settings cannot be used.

    Example:
      PHOTOGPT_API_KEY=… photogpt-worker ping

    Settings that matter: PHOTOGPT_API_KEY, PHOTOGPT_BASE_URL, PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL.
    """
    settings, out = read_settings(), console()
    checks = [("Redis", masked(settings.store_url), _redis)]
    if settings.broker_url is not None:
        checks.append(("broker", masked(settings.queue_url), _broker))
    checks.append(("PhotoGPT", settings.base_url, _api))
    passed = [_check(out, settings, *check) for check in checks]
    if not settings.webhook_secrets:
        out.print(
            "[yellow]![/] webhooks  PHOTOGPT_WEBHOOK_SECRETS is not set: webhooks go out unsigned", soft_wrap=True
        )
    sys.exit(0 if all(passed) else 1)


def _check(out: Console, settings: Settings, name: str, where: str, check: Callable[[Settings], str]) -> bool:
    started = time.monotonic()
    try:
        told = check(settings)
    except Trouble as trouble:
        out.print(f"[red]✗[/] {name:<9} {escape(f'{where}: {trouble}')}", soft_wrap=True)
        return False
    took = (time.monotonic() - started) * 1000
    out.print(f"[green]✓[/] {name:<9} {escape(where)}  {escape(told)}, {took:.0f} ms", soft_wrap=True)
    return True


def _redis(settings: Settings) -> str:
    store = open_store(settings, leave_to_lane_monitor)
    try:
        info: Any = store.client.info()
    except RedisError as error:
        raise Trouble(f"it does not answer ({error}); is it running, and is PHOTOGPT_REDIS_URL right?") from None
    finally:
        store.close()
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise Trouble(f"its maxmemory-policy is {policy}: it may throw jobs away; set it to noeviction")
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    kept = "" if info.get("aof_enabled") else " (no append-only file: a crash loses jobs)"
    return f"{name} {info.get('valkey_version') or info['redis_version']}{kept}"


def _broker(settings: Settings) -> str:
    try:
        with producer(settings) as app, app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            return str(connection.transport.driver_type)
    except (OperationalError, OSError) as error:
        raise Trouble(f"it does not answer ({error}); is PHOTOGPT_BROKER_URL right?") from None


def _api(settings: Settings) -> str:
    if settings.api_key is None:
        raise Trouble("PHOTOGPT_API_KEY is not set, and PhotoGPT answers nobody without a key")
    client = PhotoGPT(settings)
    try:
        client.ping()
    except ApiError as error:
        raise Trouble(str(error)) from None
    finally:
        client.close()
    return "the key is accepted"
