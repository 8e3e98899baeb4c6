"""The Sentinels of a URL: they know the address of the primary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redis import RedisError
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry
from redis.sentinel import Sentinel

from worker.store.server import WITHOUT_LOGIN

if TYPE_CHECKING:
    from config.settings import Settings


def sentinels_of(settings: Settings, url: str, *, retries: int = 1) -> Any:
    """Return redis-py's client of the Sentinels in a URL. Connections open when they are needed."""
    parts = [urlsplit(part) for part in url.split(";")]
    options = settings.sentinel_options | {"retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=1), retries)}
    untyped: Any = Sentinel  # redis-py ships it without types
    return untyped([(part.hostname, part.port) for part in parts], sentinel_kwargs=options)


@dataclass(frozen=True, slots=True)
class SentinelAnswers:
    """What the Sentinels of a URL answer."""

    #: The names of the primaries that they know; None if none of them answers.
    primaries: set[str] | None
    #: The error of one that refuses the login; None without one.
    refused_login: str | None


def ask_sentinels(settings: Settings, url: str) -> SentinelAnswers:
    """Ask each Sentinel of a URL for the primaries that it knows."""
    found: set[str] = set()
    answered, refused = False, None
    for sentinel in sentinels_of(settings, url, retries=0).sentinels:
        try:
            found |= set(sentinel.sentinel_masters())
            answered = True
        except AuthenticationError as error:
            refused = "a password is needed" if WITHOUT_LOGIN in str(error) else str(error)
        except RedisError:
            continue
    return SentinelAnswers(found if answered else None, refused)
