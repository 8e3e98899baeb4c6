"""The Sentinels of a URL: they know the address of the primary."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redis import RedisError
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

if TYPE_CHECKING:
    from config.settings import Settings


def sentinels_of(settings: Settings, url: str) -> Any:
    """Return redis-py's client of the Sentinels in a URL. Connections open when they are needed."""
    parts = [urlsplit(part) for part in url.split(";")]
    options = settings.sentinel_options | {"retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=1), retries=1)}
    untyped: Any = Sentinel  # redis-py ships it without types
    return untyped([(part.hostname, part.port) for part in parts], sentinel_kwargs=options)


def primary_names(settings: Settings, url: str) -> set[str] | None:
    """Return the names of the primaries that the Sentinels of a URL know; None if no Sentinel answers."""
    found: set[str] = set()
    answered = False
    for sentinel in sentinels_of(settings, url).sentinels:
        with suppress(RedisError):
            found |= set(sentinel.sentinel_masters())
            answered = True
    return found if answered else None
