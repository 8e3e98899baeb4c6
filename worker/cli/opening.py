"""What commands open first: the settings and the ledger. What is wrong with either is one message and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import click
from kombu.exceptions import OperationalError
from redis import RedisError

from config.settings import Settings, SettingsError, load_settings
from worker.store.connection import Store, open_store

UNUSABLE = 2
"""Exit code when the settings or the arguments cannot be used."""

UNREACHED = 1
"""Exit code when Redis or PhotoGPT cannot be reached."""


class Stopped(click.ClickException):
    """A command cannot go on: one message on standard error, no traceback."""

    def __init__(self, message: str, exit_code: int = UNREACHED) -> None:
        """Say why, and with which code the process ends."""
        super().__init__(message)
        vars(self)["exit_code"] = exit_code  # click's class says 1


def read_settings(**overrides: Any) -> Settings:
    """Return the settings.

    Raises:
        Stopped: the environment cannot be used; the message lists every wrong variable.
    """
    try:
        return load_settings(**overrides)
    except SettingsError as error:
        raise Stopped(str(error), UNUSABLE) from None


@contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """Open the ledger for a while.

    Raises:
        Stopped: Redis cannot be reached, now or in the middle.
    """
    store = open_store(settings)
    try:
        with explained(settings):
            store.ping()
            yield store
    finally:
        store.close()


@contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Turn what Redis and the broker raise into one sentence.

    Raises:
        Stopped: the sentence.
    """
    try:
        yield
    except RedisError as error:
        raise Stopped(_sentence("Redis", settings.store_url, error)) from None
    except OperationalError as error:
        raise Stopped(_sentence("the broker", settings.queue_url, error)) from None


def masked(url: str) -> str:
    """Return a URL, or a list of Sentinels, without passwords."""
    return ";".join(_masked_one(part) for part in url.split(";"))


def _masked_one(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:…@{host}"))


def _sentence(who: str, url: str, error: Exception) -> str:
    variable = "PHOTOGPT_REDIS_URL" if who == "Redis" else "PHOTOGPT_BROKER_URL"
    return f"{who} does not answer at {masked(url)} ({error}); is it running, and is {variable} right?"
