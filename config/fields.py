"""Types of the settings' fields, each with its check.

No error message quotes a value that may be secret.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from config.secrets import signing_key

REDIS_SCHEMES = ("redis://", "rediss://", "sentinel://")


def check_http_url(url: str) -> str:
    """Return an http(s) URL without the slash at its end."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"must be an http(s) URL, not {url!r}")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password: the URL is logged")
    return url.rstrip("/")


def check_proxy_url(value: SecretStr) -> SecretStr:
    """Return an http(s) URL; it may contain a password."""
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http(s) URL")
    return value


def check_outcome_url(url: str) -> str:
    """Return a URL with a place for the job's id."""
    if urlsplit(url).scheme not in {"http", "https"} or url.count("{id}") != 1:
        raise ValueError("must be an http(s) URL that contains {id} once")
    return url


def check_api_key(value: SecretStr) -> SecretStr | None:
    """Return the key without white space around it; None if it is empty."""
    key = value.get_secret_value().strip()
    if not key.isascii() or not key.isprintable():  # an HTTP library would quote the key in its error message
        raise ValueError("must be printable ASCII on one line: it is sent as a header")
    return SecretStr(key) if key else None


def check_redis_url(value: SecretStr) -> SecretStr:
    """Return a URL with one of Redis' schemes."""
    if not value.get_secret_value().startswith(REDIS_SCHEMES):
        raise ValueError(f"must start with one of {', '.join(REDIS_SCHEMES)}")
    return value


def check_broker_url(value: SecretStr) -> SecretStr:
    """Return a URL, or several, with numeric ports; Sentinel URLs in one form."""
    url = complete_sentinel_url(value.get_secret_value())
    for part in re.split(r";(?=\w+://)", url):
        try:
            urlsplit(part).port  # noqa: B018 - urlsplit checks the port on access
        except ValueError:
            raise ValueError("the port is not a number; write / in the password as %2F and # as %23") from None
    return SecretStr(url)


def check_certificate_file(path: Path) -> Path:
    """Return the path of a file that holds certificates."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # SSLError is a subclass
        raise ValueError(f"{path} cannot be read as certificates: {error}") from None
    return path


def check_signing_keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    """Return keys that can sign webhooks."""
    for number, key in enumerate(keys, start=1):
        try:
            signing_key(key.get_secret_value())
        except ValueError as error:
            raise ValueError(f"secret number {number}: {error}") from None
    return keys


def split_commas(value: object) -> object:
    """Return the parts of a comma-separated text without empty ones; other values unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def complete_sentinel_url(url: str) -> str:
    """Return a list of Sentinel URLs in which each has the credentials and the database; other URLs unchanged.

    Celery's broker reads both from the first URL, but Celery's manual writes the database after the last.

    Args:
        url: `sentinel://[user:password@]host:port[/database]`, or several of these, separated by semicolons.

    Raises:
        ValueError: two URLs have different databases or credentials, or one has no host.
    """
    if not url.startswith("sentinel://"):
        return url
    parts = [urlsplit(part.strip()) for part in url.split(";") if part.strip()]
    if any(part.scheme != "sentinel" or not part.hostname for part in parts):
        raise ValueError("must be sentinel://host:port, or several of these, separated by semicolons")
    databases = {part.path.strip("/") for part in parts} - {""}
    users = {part.netloc.rpartition("@")[0] for part in parts} - {""}
    if len(databases) > 1 or len(users) > 1:
        raise ValueError("must not have different databases or credentials: all Sentinels name those of the primary")
    user, database = "".join(f"{user}@" for user in users), "".join(databases) or "0"
    hosts = [part.netloc.rpartition("@")[2] for part in parts]
    return ";".join(f"sentinel://{user}{host}{'' if ':' in host else ':26379'}/{database}" for host in hosts)


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ApiKey = Annotated[SecretStr, AfterValidator(check_api_key)]
HttpUrl = Annotated[str, AfterValidator(check_http_url)]
ProxyUrl = Annotated[SecretStr, AfterValidator(check_proxy_url)]
OutcomeUrl = Annotated[str, AfterValidator(check_outcome_url)]
BrokerUrl = Annotated[SecretStr, AfterValidator(check_broker_url)]
RedisUrl = Annotated[BrokerUrl, AfterValidator(check_redis_url)]
CertificateFile = Annotated[Path, AfterValidator(check_certificate_file)]
COMMAS = BeforeValidator(split_commas)
SigningKeys = Annotated[tuple[SecretStr, ...], NoDecode, COMMAS, AfterValidator(check_signing_keys)]
Schemes = Annotated[tuple[Literal["https", "http"], ...], NoDecode, COMMAS]
Ports = Annotated[tuple[int, ...], NoDecode, COMMAS]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[tuple[Network, ...], NoDecode, COMMAS]
