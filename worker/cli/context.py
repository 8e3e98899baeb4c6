"""What commands start with: settings, Redis and the broker. A failure is one message and an exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from amqp.exceptions import AMQPError
from celery import Celery
from kombu.exceptions import OperationalError
from redis import RedisError, ResponseError

from config.environment import SettingsError, ignored_variables, remove_celery_variables
from config.settings import SECRET_FIELDS, Settings, load_settings
from config.urls import masked
from worker.queue.checks import broker_fault, broker_variable
from worker.queue.transport import configure
from worker.store.connection import ping
from worker.store.diagnosis import settings_fault, unknown_host
from worker.store.lanes import Tick, leave_to_lane_monitor
from worker.store.server import ServerFault, refusal_of
from worker.store.store import Store, open_store
from worker.telemetry.error_text import error_text

FAILED = 1
"""Exit code when Redis, the broker or PhotoGPT cannot be reached, or the command's own work failed."""

USAGE = 2
"""Exit code when the settings or the arguments are invalid; click uses the same."""


ANSWER_WITHIN_S = 5.0
"""How long Redis may take to answer a command's first question."""


class CommandError(click.ClickException):
    """Ends a command with one message on standard error and no traceback."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        """Take the message and the exit code of the process."""
        super().__init__(message)
        vars(self)["exit_code"] = exit_code  # click's class says 1


def read_settings(*, warn: bool = True, **overrides: Any) -> Settings:
    """Return the settings of the environment and of `.env`.

    Args:
        warn: print a line on standard error for each PHOTOGPT_ variable that is ignored; a worker logs them instead.
        overrides: values by field name; they take precedence over the environment.

    Raises:
        CommandError: a variable is invalid; the message lists every invalid one.
    """
    try:
        settings = load_settings(**overrides)
    except SettingsError as error:
        raise CommandError(str(error), USAGE) from None
    ignored = remove_celery_variables()
    if warn:
        ignored += ignored_variables(Settings.model_fields, SECRET_FIELDS)
    for text in ignored:
        click.echo(f"Warning: {text}", err=True)
    return settings


@contextmanager
def connected_store(
    settings: Settings, *, publish_tick: Callable[[Tick], None] = leave_to_lane_monitor
) -> Iterator[Store]:
    """Open the store, check that Redis answers, and close the store afterwards.

    Args:
        settings: of the command.
        publish_tick: sends a tick message, for a command that does not leave this to the workers' lane monitors.

    Raises:
        CommandError: Redis cannot be reached, at the start or later.
    """
    store = open_store(settings, publish_tick)
    try:
        with connection_errors(settings):
            ping(settings, settings.store_url, timeout_s=ANSWER_WITHIN_S)
            yield store
    finally:
        store.close()


@contextmanager
def connection_errors(settings: Settings) -> Iterator[None]:
    """Turn errors of Redis and of the broker into one sentence.

    Raises:
        CommandError: carries the sentence.
    """
    try:
        yield
    except RedisError as error:
        fault = settings_fault(settings, settings.store_url, error) or refusal_of(error)
        raise CommandError(_problem("Redis", settings.store_url, "PHOTOGPT_REDIS_URL", error, fault)) from None
    except (OperationalError, AMQPError) as error:
        raise CommandError(broker_problem(settings, error)) from None


def broker_problem(settings: Settings, error: Exception) -> str:
    """Return a sentence for an error of the broker."""
    fault = broker_fault(settings, error) or refusal_of(error)
    return _problem("the broker", settings.queue_url, broker_variable(settings), error, fault)


def producer(settings: Settings) -> Celery:
    """Return a Celery app that sends tasks by name and reads results. It has no tasks of its own."""
    app = Celery("photogpt-worker-cli", set_as_current=False)
    configure(app, settings)
    return app


def _problem(name: str, url: str, variable: str, error: Exception, fault: ServerFault | str | None) -> str:
    address = masked(url)
    if fault:
        return f"{name} at {address} cannot be used: {fault}"
    if isinstance(error, ResponseError):
        return f"{name} at {address} refuses a command ({error}); report it, since a record may be damaged"
    if unknown := unknown_host(url, variable):
        return f"{name} does not answer at {address}: {unknown}"
    return f"{name} does not answer at {address} ({error_text(error)}); check that it runs and that {variable} is right"
