"""Checks of the settings that say where outputs are stored, and under which keys."""

from __future__ import annotations

import os
import string
from pathlib import Path
from urllib.parse import unquote, urlsplit

KEY_FIELDS = ("tenant", "date", "id", "kind", "n", "ext")
"""What the template of a key may contain in braces."""

REQUIRED = ("id", "n")
"""Without these, two files would have the same key."""

BUCKET_SCHEMES = ("s3", "gs", "az")
ENDPOINT_VARIABLES = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""The variables that name a server other than the provider's, by scheme; the first that is set counts."""

MAX_TEMPLATE = 200  # characters; a key of S3 may have 1,024 bytes


def check_outputs_url(url: str) -> str:
    """Return the URL of a bucket or folder without the slash at its end.

    Raises:
        ValueError: says what to write instead. The URL is not quoted: it may hold a secret.
    """
    parts = urlsplit(url.strip())
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password; give credentials in the provider's variables")
    if parts.query or parts.fragment:
        raise ValueError("must not contain ? or #")
    if parts.scheme == "file":
        if parts.netloc or not parts.path.strip("/"):
            raise ValueError("must name a folder with three slashes: file:///var/lib/photogpt/outputs")
    elif parts.scheme not in BUCKET_SCHEMES or not parts.netloc:
        raise ValueError("must be s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder")
    return parts.geturl().rstrip("/")


def folder_of(url: str) -> Path | None:
    """Return the folder of a file:// URL, or None for a bucket."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def check_output_key(template: str) -> str:
    """Return a template for keys that names each file differently and stays inside of its bucket or folder.

    Raises:
        ValueError: names the field or the part that cannot be used.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        raise ValueError("has a brace that opens or closes nothing") from None
    names = [name for _, name, _, _ in parts if name is not None]
    known = ", ".join(f"{{{name}}}" for name in KEY_FIELDS)
    for _, name, form, conversion in parts:
        if name is not None and (name not in KEY_FIELDS or form or conversion):
            raise ValueError(f"contains {{{name}}}, which is unknown; there are {known}")
    if missing := [f"{{{name}}}" for name in REQUIRED if name not in names]:
        raise ValueError(f"must contain {' and '.join(missing)}: two files must not have the same key")
    _check_path(template)
    return template


def _check_path(template: str) -> None:
    if len(template) > MAX_TEMPLATE:
        raise ValueError(f"must have at most {MAX_TEMPLATE} characters")
    if "{{" in template or "}}" in template:
        raise ValueError("must not contain {{ or }}")
    literal = template.translate({ord(char): None for char in "{}"})
    if not all(char.isascii() and (char.isalnum() or char in "._-=/") for char in literal):
        raise ValueError("may contain letters, digits, and . _ - = / besides its fields")
    if any(part.startswith(".") or not part for part in template.split("/")):
        raise ValueError("must not begin or end with /, and no part of it may be empty or begin with a dot")


def endpoint_is_plain_http(url: str) -> bool:
    """Whether the operator chose a server without TLS, by a variable that obstore reads too."""
    return _endpoint(url)[1].startswith("http://")


def check_endpoint(url: str) -> None:
    """Check the variable that names a server other than the provider's.

    Raises:
        ValueError: names the variable and says what to write. obstore would end the thread.
    """
    name, value = _endpoint(url)
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if value and (not usable or any(char.isspace() for char in value)):
        raise ValueError(f"{name} must be a URL such as https://storage.example:9000")


def _endpoint(url: str) -> tuple[str, str]:
    """Return the name and the value of the variable that counts; both are empty if none is set."""
    names = ENDPOINT_VARIABLES.get(urlsplit(url).scheme, ())
    return next(((name, value) for name in names if (value := os.environ.get(name, ""))), ("", ""))
