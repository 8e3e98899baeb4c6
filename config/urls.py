"""Checks of the URLs of Redis and of the broker, the same for both: what passes here is understood by every library.

redis-py ignores a database that is not a number, Celery's result backend reads it from the path only, and kombu drops
options of the query. So a URL has one form, and nothing that one library would read and another would not. No error
message quotes a part of a URL that may be secret.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

REDIS_SCHEMES = ("redis", "rediss", "sentinel")
RABBITMQ_SCHEMES = ("amqp", "amqps", "pyamqp")
SENTINEL_PORT = 26379
NEXT_URL = re.compile(r";(?=\s*\w+://)")
"""Separates the URLs of a list."""

INSTEAD = {
    "valkey": "redis",
    "valkeys": "rediss",
    "redis+ssl": "rediss",
    "rabbitmq": "amqp",
    "rabbitmqs": "amqps",
    "http": "redis",
    "https": "rediss",
}
"""The scheme that is meant by one that no library knows."""

ADVICE = {
    "db": "write the database behind the host: redis://host:6379/3",
    "ssl_cert_reqs": "the certificate is always verified; set PHOTOGPT_REDIS_CA_FILE to the authority that signed it",
    "ssl_ca_certs": "set PHOTOGPT_REDIS_CA_FILE instead",
    "ssl_ca_data": "set PHOTOGPT_REDIS_CA_FILE instead",
    "password": "write the password in front of the host: redis://:password@host:6379/0",
    "username": "write the user in front of the host: redis://user:password@host:6379/0",
}
"""What to do instead of an option in the query of a Redis URL."""

MASKED = "…"


def check_redis_url(text: str) -> str:
    """Return the URL of the Redis that holds jobs and results, in the form that every library understands.

    Raises:
        ValueError: says what to write instead.
    """
    parts = _parts(text, REDIS_SCHEMES)
    if len(parts) > 1 and parts[0].scheme != "sentinel":
        raise ValueError("must be one URL: only sentinel:// URLs form a list")
    return _complete(parts)


def check_broker_url(text: str) -> str:
    """Return the URL of the broker, or a list of URLs, in the form that every library understands.

    Raises:
        ValueError: says what to write instead.
    """
    parts = _parts(text, (*REDIS_SCHEMES, *RABBITMQ_SCHEMES))
    if len(parts) > 1 and parts[0].scheme in {"redis", "rediss"}:
        raise ValueError("must be one URL: only sentinel:// and amqp:// URLs form a list")
    return _complete(parts)


def masked(text: str) -> str:
    """Return a URL, or a list of URLs, without passwords and queries."""
    return ";".join(_masked_one(part) for part in NEXT_URL.split(text))


def _masked_one(url: str) -> str:
    found = re.match(r"(\s*[\w+.-]+://)?(.*@)?([^?]*)(\?.*)?\Z", url, re.DOTALL)
    if found is None:
        return MASKED
    scheme, login, address, query = found.groups()
    user, _, password = (login or "").removesuffix("@").partition(":")
    shown = f"{user}:{MASKED}@" if password else login or ""
    return f"{scheme or ''}{shown}{address}{f'?{MASKED}' if query else ''}"


def _parts(text: str, schemes: tuple[str, ...]) -> list[SplitResult]:
    """Return the URLs of a list, each checked alone."""
    parts = [_checked(part.strip(), schemes) for part in NEXT_URL.split(text.strip().rstrip(";"))]
    if len({part.scheme for part in parts}) > 1:
        if "sentinel" in {part.scheme for part in parts}:
            raise ValueError("must be sentinel://host:port, or several of these, separated by semicolons")
        raise ValueError("must not mix schemes in one list")
    return parts


def _checked(url: str, schemes: tuple[str, ...]) -> SplitResult:
    _check_characters(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(
            "the host or the port cannot be read: a port is a number up to 65535, an IPv6 address stands in brackets; "
            "write / in the password as %2F, # as %23, ? as %3F and @ as %40"
        ) from None
    _check_scheme(parts.scheme if "://" in url else "", schemes)
    if not parts.hostname:
        raise ValueError(f"names no host; write {parts.scheme}://host or {parts.scheme}://[IPv6 address]")
    if port == 0:
        raise ValueError("the port must not be 0")
    if parts.fragment:
        raise ValueError("must not contain #; write it in the password as %23")
    if parts.scheme in REDIS_SCHEMES:
        _check_database(parts.path)
        return parts._replace(query=_query(parts.query))
    if parts.query:
        raise ValueError("must not contain options after the question mark: this service sets those of its connections")
    return parts


def _check_characters(url: str) -> None:
    if ";" in url:
        raise ValueError("must not contain ; within one URL; write it in the password as %3B")
    if any(char.isspace() or not char.isprintable() for char in url):
        raise ValueError("must not contain spaces or line breaks; write a space in the password as %20")


def _check_scheme(scheme: str, schemes: tuple[str, ...]) -> None:
    if scheme in schemes:
        return
    meant = INSTEAD.get(scheme)
    advice = f"write {meant}:// instead of {scheme}://; " if meant in schemes else ""
    raise ValueError(f"{advice}it must start with one of {', '.join(f'{each}://' for each in schemes)}")


def _check_database(path: str) -> None:
    if not re.fullmatch(r"/?\d*/?", path, re.ASCII):
        raise ValueError("the database must be a number, as in redis://host:6379/0")


def _query(query: str) -> str:
    """Return what is left of a query: nothing. `ssl_cert_reqs=required` is what this service does anyway."""
    for name, value in parse_qsl(query, keep_blank_values=True):
        if (name, value.lower().removeprefix("cert_")) == ("ssl_cert_reqs", "required"):
            continue
        advice = ADVICE.get(name, "this service sets the options of its connections")
        raise ValueError(f"must not contain {name if name in ADVICE else 'options'} after the question mark: {advice}")
    return ""


def _complete(parts: list[SplitResult]) -> str:
    """Return one text. Each Sentinel gets the credentials and the database of the primary.

    Celery's broker reads both from the first URL of a list, but Celery's manual writes the database after the last.
    """
    if parts[0].scheme != "sentinel":
        return ";".join(part.geturl() for part in parts)
    databases = {part.path.strip("/") for part in parts} - {""}
    users = {part.netloc.rpartition("@")[0] for part in parts} - {""}
    if len(databases) > 1 or len(users) > 1:
        raise ValueError("must not have different databases or credentials: all Sentinels name those of the primary")
    user, database = "".join(f"{user}@" for user in users), "".join(databases) or "0"
    hosts = (part.netloc.rpartition("@")[2] + ("" if part.port else f":{SENTINEL_PORT}") for part in parts)
    return ";".join(f"sentinel://{user}{host}/{database}" for host in hosts)
