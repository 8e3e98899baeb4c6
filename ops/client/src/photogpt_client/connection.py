"""Connections to Redis: TCP, TLS, socket files, Sentinels. Every wait has a limit; no error quotes a password."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError
from redis.retry import Retry

from photogpt_client.errors import RedisRefused, RedisUnavailable

TEMPORARY = ("READONLY", "OOM ", "LOADING", "BUSY ", "NOREPLICAS", "MISCONF", "MASTERDOWN", "CLUSTERDOWN", "UNBLOCKED")
"""Error codes of a Redis that refuses commands for a while."""

TLS_FAULTS = {
    "certificate verify failed": "the certificate of Redis is not trusted: add ?ssl_ca_certs=/path/to/ca.pem to the "
    "rediss:// URL, with the authority that signed it, and write the host for which it was issued",
    "certificate required": "Redis asks for a certificate of this client: add ssl_certfile=/path/to/client.pem and "
    "ssl_keyfile=/path/to/client.key to the query of the rediss:// URL",
    "unknown ca": "Redis does not trust the certificate of this client: see ssl_certfile in the query of the URL",
}
"""What to do about errors of TLS, which waiting does not mend."""

SCHEMES = ("redis", "rediss", "unix", "sentinel")
NEXT_URL = re.compile(r";(?=\s*\w+://)")
OPTIONS = {"db", "protocol", "client_name", "max_connections"}
"""What may stand in the query of a URL, beside ssl_… options; the client sets the rest."""

SENTINEL_PORT = 26379
LIMITS: dict[str, Any] = {
    "decode_responses": True,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "health_check_interval": 15,
    "client_name": "photogpt-client",
}
TCP_LIMITS = LIMITS | {"socket_keepalive": True}


def connect(
    url: str,
    *,
    sentinel_master: str | None = None,
    sentinel_password: str | None = None,
    retries: int = 0,
    is_async: bool = False,
) -> Any:
    """Return a client of redis-py; it connects at the first command.

    Args:
        url: redis://, rediss://, unix://, or one or more sentinel:// with semicolons between.
        sentinel_master: for sentinel://, the name of the primary.
        sentinel_password: of the Sentinels themselves.
        retries: of a command whose answer was lost.
        is_async: return a client for asyncio.

    Raises:
        ValueError: the URL cannot be used; says what to write instead.
    """
    urls = [each.strip() for each in NEXT_URL.split(url.strip().rstrip(";"))]
    parts = [_checked(each) for each in urls]
    schemes = {part.scheme for part in parts}
    if "sentinel" in schemes:
        if schemes != {"sentinel"}:
            raise ValueError("redis_url: must be sentinel://host:port, or several of these, separated by semicolons")
        return _primary(parts, sentinel_master, sentinel_password, retries, is_async=is_async)
    if len(parts) > 1:
        raise ValueError("redis_url: must be one URL: only sentinel:// URLs form a list")
    limits = LIMITS if parts[0].scheme == "unix" else TCP_LIMITS
    made: Any = redis.asyncio.Redis if is_async else redis.Redis
    return made.from_url(urls[0], **limits, retry=_retry(retries, is_async=is_async))


def _checked(url: str) -> SplitResult:
    """Return the parts of one URL. redis-py ignores some faults, and quotes the password in its errors about others."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(
            "redis_url: the host or the port cannot be read; write / in the password as %2F, # as %23, ? as %3F and "
            "@ as %40"
        ) from None
    if parts.scheme not in SCHEMES or "://" not in url:
        raise ValueError(f"redis_url: must start with {', '.join(f'{each}://' for each in SCHEMES)}")
    if parts.fragment or port == 0:
        raise ValueError("redis_url: must not contain # or port 0; write # in the password as %23")
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("redis_url: names no socket; write unix:///path/to/redis.sock?db=0")
    elif not parts.hostname:
        raise ValueError(f"redis_url: names no host; write {parts.scheme}://host:port/0")
    elif not re.fullmatch(r"/?[0-9]*/?", parts.path):
        raise ValueError("redis_url: the database must be a number, as in redis://host:6379/0")
    _check_query(parts)
    return parts


def _check_query(parts: SplitResult) -> None:
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in given:
        if name not in OPTIONS and not (name.startswith("ssl_") and parts.scheme == "rediss"):
            raise ValueError(f"redis_url: must not contain {name!r} after the question mark")
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if name in given:
            _check_file(name, given[name])


def _check_file(name: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
        if name == "ssl_ca_certs":
            ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one: the file holds no certificates
        raise ValueError(f"redis_url: {name}={path} cannot be read: {error.strerror or error}") from None


def _primary(
    parts: list[SplitResult], master: str | None, password: str | None, retries: int, *, is_async: bool
) -> Any:
    """Return a client of the primary. Credentials and database stand in any URL of the list; they are the primary's."""
    if not master:
        raise ValueError("sentinel_master: a sentinel:// URL needs the name of the primary, often mymaster")
    databases = {part.path.strip("/") for part in parts} - {""}
    users = {part.netloc.rpartition("@")[0] for part in parts} - {""}
    if len(databases) > 1 or len(users) > 1:
        raise ValueError("redis_url: must not have different databases or credentials in one list of Sentinels")
    user, _, secret = "".join(users).partition(":")
    hosts = [(part.hostname, part.port or SENTINEL_PORT) for part in parts]
    options = {"socket_timeout": 2, "socket_connect_timeout": 1, **({"password": password} if password else {})}
    return _sentinel(is_async=is_async)(hosts, sentinel_kwargs=options).master_for(
        master,
        db=int("".join(databases) or 0),
        username=unquote(user) or None,
        password=unquote(secret) or None,
        retry=_retry(retries, is_async=is_async),
        **TCP_LIMITS,
    )


def _sentinel(*, is_async: bool) -> Any:
    if is_async:
        from redis.asyncio import sentinel  # noqa: PLC0415 - few need it
    else:
        from redis import sentinel  # type: ignore[no-redef]  # noqa: PLC0415 - few need it
    return sentinel.Sentinel


def _retry(retries: int, *, is_async: bool) -> Any:
    """Return when a command is repeated. What needs more patience is repeated by its caller."""
    return redis.asyncio.retry.Retry(NoBackoff(), retries) if is_async else Retry(NoBackoff(), retries)


@contextmanager
def translated() -> Iterator[None]:
    """Raise this package's errors in the place of redis-py's."""
    try:
        yield
    except (AuthenticationError, AuthorizationError) as error:
        raise RedisRefused(f"Redis refuses the login: {error}") from error
    except ResponseError as error:
        if any(code in str(error) for code in TEMPORARY):
            raise RedisUnavailable(f"Redis refuses for a while: {error}") from error
        raise RedisRefused(f"Redis refuses the command: {error}") from error
    except (RedisError, OSError) as error:
        raise _unanswered(error) from error


def _unanswered(error: Exception) -> RedisRefused | RedisUnavailable:
    """Return the error for a connection that failed."""
    text = str(error).lower().replace("_", " ")
    for fault, advice in TLS_FAULTS.items():
        if fault in text:
            return RedisRefused(f"{advice} ({error})")
    return RedisUnavailable(f"Redis does not answer: {error}")
