"""Errors of HTTP calls, beside those of `requests`."""

from __future__ import annotations

from typing import Any

import requests


class DeadlineExceeded(requests.Timeout):
    """The call as a whole took too long."""


class AnswerTooLarge(requests.RequestException):
    """The answer is longer than allowed."""


def root_cause(error: Exception) -> str:
    """Return an error's original message, without the layers that `requests` and urllib3 wrap around it."""
    cause: Any = error.args[0] if error.args else error
    cause = getattr(cause, "reason", None) or cause
    text = " ".join(str(cause).split())
    return text.rsplit("): ", 1)[-1] if text.startswith(("_HTTP", "HTTP")) else text


def unknown_authority_hint(error: Exception, variable: str) -> str:
    """Return advice for a certificate whose authority is not trusted, or nothing.

    Args:
        error: of a TLS handshake.
        variable: the setting that names more authorities.
    """
    text = root_cause(error)
    unknown = "issuer certificate" in text or "self-signed certificate" in text
    return f"; if the certificate comes from a private authority, name its PEM file in {variable}" if unknown else ""
