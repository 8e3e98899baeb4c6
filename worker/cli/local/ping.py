"""`photogpt-worker ping`: whether a worker could work with these settings."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click
from kombu.exceptions import OperationalError
from redis import RedisError
from rich.console import Console
from rich.markup import escape

from config.settings import Settings
from config.urls import masked
from worker.cli.context import FAILED, producer, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console
from worker.domain.errors import ApiError
from worker.photogpt.client import PhotoGPT
from worker.store.connection import open_store
from worker.store.lanes import leave_to_lane_monitor


class CheckFailed(Exception):
    """A check failed; the message says why and what to do."""


@click.command("ping", cls=HelpCommand)
def ping() -> None:
    """Check the settings, Redis, the broker if it is another server, and the PhotoGPT API.

    Explains what is wrong. Spends no credits. Exit code 0: a worker can work; 1: a check failed; 2: invalid settings.

    Example:
      PHOTOGPT_API_KEY=… photogpt-worker ping

    Settings: PHOTOGPT_API_KEY, PHOTOGPT_BASE_URL, PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL.
    """
    settings, out = read_settings(), console()
    checks = [("Redis", masked(settings.store_url), _check_redis)]
    if settings.broker_url is not None:
        checks.append(("broker", masked(settings.queue_url), _check_broker))
    checks.append(("PhotoGPT", settings.base_url, _check_api))
    passed = [_run(out, settings, *check) for check in checks]
    if not settings.webhook_secrets:
        out.print("[yellow]![/] webhooks  PHOTOGPT_WEBHOOK_SECRETS is not set: webhooks are unsigned", soft_wrap=True)
    sys.exit(0 if all(passed) else FAILED)


def _run(out: Console, settings: Settings, name: str, address: str, check: Callable[[Settings], str]) -> bool:
    started = time.monotonic()
    try:
        result = check(settings)
    except CheckFailed as error:
        out.print(f"[red]✗[/] {name:<9} {escape(f'{address}: {error}')}", soft_wrap=True)
        return False
    elapsed_ms = (time.monotonic() - started) * 1000
    out.print(f"[green]✓[/] {name:<9} {escape(address)}  {escape(result)}, {elapsed_ms:.0f} ms", soft_wrap=True)
    return True


def _check_redis(settings: Settings) -> str:
    store = open_store(settings, leave_to_lane_monitor)
    try:
        info = store.server_info()
    except RedisError as error:
        raise CheckFailed(f"no answer ({error}); check that it runs and that PHOTOGPT_REDIS_URL is right") from None
    finally:
        store.close()
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise CheckFailed(f"its maxmemory-policy is {policy}, which can delete jobs; set it to noeviction")
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    durability = "" if info.get("aof_enabled") else " (no append-only file: a crash loses jobs)"
    return f"{name} {info.get('valkey_version') or info['redis_version']}{durability}"


def _check_broker(settings: Settings) -> str:
    try:
        with producer(settings) as app, app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            return str(connection.transport.driver_type)
    except (OperationalError, OSError) as error:
        raise CheckFailed(f"no answer ({error}); check that it runs and that PHOTOGPT_BROKER_URL is right") from None


def _check_api(settings: Settings) -> str:
    if settings.api_key is None:
        raise CheckFailed("PHOTOGPT_API_KEY is not set; PhotoGPT answers no request without a key")
    client = PhotoGPT(settings)
    try:
        client.ping()
    except ApiError as error:
        raise CheckFailed(str(error)) from None
    finally:
        client.close()
    return "the key is accepted"
