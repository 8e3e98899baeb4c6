"""`photogpt-worker ping`: whether a worker could work with these settings."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click
from redis import RedisError
from rich.console import Console

from config.settings import Settings
from config.urls import masked
from worker.cli.context import FAILED, producer, read_settings
from worker.cli.help import HelpCommand
from worker.cli.output import console, plain
from worker.domain.errors import ApiError, StorageError
from worker.outputs.storage import check_storage, open_storage
from worker.photogpt.client import PhotoGPT
from worker.queue.checks import BROKER_ERRORS, broker_variable, check_broker, check_store, clock_warning, unavailable
from worker.queue.neighbors import foreign_consumer_warning, foreign_consumers, unread_lists
from worker.store.lanes import leave_to_lane_monitor
from worker.store.server import ServerFault
from worker.store.store import open_store


class CheckFailed(Exception):
    """A check failed; the message says why and what to do."""


@click.command("ping", cls=HelpCommand)
def ping() -> None:
    """Check the settings, Redis, the broker, the PhotoGPT API and the storage of outputs.

    Explains what is wrong. Spends no credits. Exit code 0: a worker can work; 1: a check failed; 2: invalid settings.

    Example:
      PHOTOGPT_API_KEY=… photogpt-worker ping

    Settings: PHOTOGPT_API_KEY, PHOTOGPT_BASE_URL, PHOTOGPT_REDIS_URL, PHOTOGPT_BROKER_URL, PHOTOGPT_OUTPUTS.
    """
    settings, out = read_settings(), console()
    passed = [_run(out, settings, "Redis", masked(settings.store_url), _check_redis)]
    if settings.broker_url is not None or all(passed):  # otherwise it is the Redis that failed
        passed.append(_run(out, settings, "broker", masked(settings.queue_url), _check_broker))
    passed.append(_run(out, settings, "PhotoGPT", settings.base_url, _check_api))
    if settings.outputs is not None:
        passed.append(_run(out, settings, "outputs", settings.outputs, _check_outputs))
    if not settings.webhook_secrets:
        _warn(out, "webhooks", "PHOTOGPT_WEBHOOK_SECRETS is not set: webhooks are unsigned")
    if all(passed):
        for warning in _neighbors(settings):
            _warn(out, "broker", warning)
    sys.exit(0 if all(passed) else FAILED)


def _warn(out: Console, name: str, text: str) -> None:
    out.print(f"[yellow]![/] {name:<9} {plain(text)}", soft_wrap=True)


def _neighbors(settings: Settings) -> list[str]:
    """Return a sentence for each fault of another app on the broker."""
    with producer(settings) as app:
        consumers = foreign_consumers(app)
        warnings = [foreign_consumer_warning(consumers)] if consumers else []
        return [*warnings, *(str(each) for each in unread_lists(app))]


def _run(out: Console, settings: Settings, name: str, address: str, check: Callable[[Settings], str]) -> bool:
    started = time.monotonic()
    try:
        result = check(settings)
    except CheckFailed as error:
        out.print(f"[red]✗[/] {name:<9} {plain(f'{address}: {error}')}", soft_wrap=True)
        return False
    elapsed_ms = (time.monotonic() - started) * 1000
    out.print(f"[green]✓[/] {name:<9} {plain(address)}  {plain(result)}, {elapsed_ms:.0f} ms", soft_wrap=True)
    return True


def _check_redis(settings: Settings) -> str:
    store = open_store(settings, leave_to_lane_monitor, retries=0)
    try:
        report = check_store(store, settings, register=False)
    except ServerFault as error:
        raise CheckFailed(str(error)) from None
    except (RedisError, OSError) as error:
        raise CheckFailed(unavailable(error, settings.store_url, "PHOTOGPT_REDIS_URL")) from None
    finally:
        store.close()
    durability = "" if report.durable else " (no append-only file: a crash loses jobs)"
    warning = clock_warning(report.clock_offset_s)
    return f"{report.name}{durability}{f'. {warning}' if warning else ''}"


def _check_broker(settings: Settings) -> str:
    try:
        with producer(settings) as app:
            return check_broker(app, settings)
    except ServerFault as error:
        raise CheckFailed(str(error)) from None
    except BROKER_ERRORS as error:
        raise CheckFailed(unavailable(error, settings.queue_url, broker_variable(settings))) from None


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


def _check_outputs(settings: Settings) -> str:
    try:
        storage = open_storage(settings)
        left = check_storage(storage) if storage is not None else None
    except StorageError as error:
        raise CheckFailed(str(error)) from None
    if storage is None or left is None:
        return "files can be stored"
    return f"files can be stored; {storage.check_key}, which this check stored, stays there and harms nothing: {left}"
