"""Types of the settings' fields, each with its check.

No error message quotes a value that may be secret.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from config.outputs import check_output_key, check_outputs_url
from config.urls import check_broker_url, check_redis_url
from config.webhook_keys import signing_key


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


def check_url_path(path: str) -> str:
    """Return a URL's path without the slashes around it."""
    if not re.fullmatch(r"/?[A-Za-z0-9_~-]+(/[A-Za-z0-9_~-]+)*/?", path):
        raise ValueError(f"must be a path of letters, digits, _, ~ and -, such as /ops/flower, not {path!r}")
    return path.strip("/")


def check_api_key(value: SecretStr) -> SecretStr | None:
    """Return the key without white space around it; None if it is empty."""
    key = value.get_secret_value().strip()
    if not key.isascii() or not key.isprintable():  # an HTTP library would quote the key in its error message
        raise ValueError("must be printable ASCII on one line: it is sent as a header")
    return SecretStr(key) if key else None


def check_certificate_file(path: Path) -> Path:
    """Return the path of a file that holds certificates."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # SSLError is a subclass
        raise ValueError(f"{path} cannot be read as certificates: {error}") from None
    return path


def check_http_address(value: str) -> str:
    """Return `host:port` of a server."""
    split_address(value)
    return value


def split_address(value: str) -> tuple[str, int]:
    """Return host and port of `host:port`; an IPv6 address stands in brackets."""
    try:
        parts = urlsplit(f"//{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.netloc != value or "@" in value:
        raise ValueError(f"must be host:port, such as 0.0.0.0:9464 or [::]:9464, not {value!r}")
    return host, port


def check_signing_keys(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    """Return keys that can sign webhooks."""
    for number, key in enumerate(keys, start=1):
        try:
            signing_key(key.get_secret_value())
        except ValueError as error:
            raise ValueError(f"secret number {number}: {error}") from None
    return keys


def secret_of(check: Callable[[str], str]) -> Callable[[SecretStr], SecretStr]:
    """Return a check of a secret, given the check of its text."""
    return lambda value: SecretStr(check(value.get_secret_value()))


def split_commas(value: object) -> object:
    """Return the parts of a comma-separated text without empty ones; other values unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


COMMAS = BeforeValidator(split_commas)
Namespace = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
PrioritySteps = Annotated[tuple[Annotated[int, Field(ge=0, le=255)], ...], NoDecode, COMMAS, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ApiKey = Annotated[SecretStr, AfterValidator(check_api_key)]
HttpAddress = Annotated[str, AfterValidator(check_http_address)]
UrlPath = Annotated[str, AfterValidator(check_url_path)]
HttpUrl = Annotated[str, AfterValidator(check_http_url)]
ProxyUrl = Annotated[SecretStr, AfterValidator(check_proxy_url)]
OutcomeUrl = Annotated[str, AfterValidator(check_outcome_url)]
BrokerUrl = Annotated[SecretStr, AfterValidator(secret_of(check_broker_url))]
RedisUrl = Annotated[SecretStr, AfterValidator(secret_of(check_redis_url))]
OutputsUrl = Annotated[str, AfterValidator(check_outputs_url)]
OutputKey = Annotated[str, AfterValidator(check_output_key)]
CertificateFile = Annotated[Path, AfterValidator(check_certificate_file)]
SigningKeys = Annotated[tuple[SecretStr, ...], NoDecode, COMMAS, AfterValidator(check_signing_keys)]
Schemes = Annotated[tuple[Literal["https", "http"], ...], NoDecode, COMMAS]
Ports = Annotated[tuple[int, ...], NoDecode, COMMAS]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = Annotated[tuple[Network, ...], NoDecode, COMMAS]
