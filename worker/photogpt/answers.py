"""What PhotoGPT's answers mean: the envelope read, and every fault given its name.

The error table is `docs/error-codes`; it names 400, 401, 404, 409, 429 and 5xx. The body of an error is JSON for most
failures, not for all, and `NOK` may come under any code, so nothing here trusts either alone.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import requests

from worker.domain.errors import ApiError, Conflict, Refused, Throttled, Unauthorized, Unavailable
from worker.domain.reason import Reason
from worker.http.deadline import cause_of, retry_after_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_QUOTE = 300

REFUSALS = {
    400: Reason.INVALID_REQUEST,
    402: Reason.INSUFFICIENT_CREDITS,
    404: Reason.NOT_FOUND,
    413: Reason.INVALID_REQUEST,
    415: Reason.INVALID_REQUEST,
    422: Reason.INVALID_REQUEST,
}
"""Codes that mean no, for good."""

IN_ANY_WORDS = frozenset({400, 402, 422})
"""Of these, what judges a request, so that the body need not be PhotoGPT's envelope; only a page is somebody else's."""


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """Return `result` of an answer.

    Raises:
        ApiError: the answer is not a yes; the class says what it is.
    """
    envelope = _json(body)
    if 200 <= status < 300:
        if envelope is None:
            raise Unavailable(f"PhotoGPT's answer under {status} is not JSON: {_quote(body)}", status=status)
        if str(envelope.get("status", "OK")).upper() != "NOK":
            return envelope.get("result")
        message = _message(envelope) or _quote(body)
        raise Refused(message, reason=_by_words(message) or Reason.REFUSED, status=status)
    raise _fault(status, headers, body, envelope)


def not_reached(error: requests.RequestException, *, sent: bool) -> ApiError:
    """Name what came instead of an answer.

    Args:
        error: what `requests` raised.
        sent: bytes of the request may have left; otherwise nothing can have been created.
    """
    if not sent:
        return Unavailable(f"PhotoGPT cannot be reached: {_quote(cause_of(error))}", definite=True)
    if isinstance(error, requests.Timeout):
        return Unavailable(f"PhotoGPT did not answer in time: {_quote(cause_of(error))}")
    return Unavailable(f"the connection to PhotoGPT broke: {_quote(cause_of(error))}")


def _fault(status: int, headers: Mapping[str, str], body: bytes, envelope: dict[str, Any] | None) -> ApiError:
    message = _message(envelope) or _quote(body)
    retry_after = retry_after_of(headers)
    said = f"PhotoGPT says {status}: {message}"
    if status == 401:
        return Unauthorized(f"PhotoGPT does not accept the API key (401): {message}", status=status)
    if status == 429:
        return Throttled(said, status=status, retry_after=retry_after)
    if status == 409:
        return Conflict(said, status=status, retry_after=retry_after)
    if status >= 500 or status == 408:
        return Unavailable(said, status=status, retry_after=retry_after, definite=False)
    if status < 400:
        envelope = None  # a redirect, whatever it says; only "see other" comes after something was done
    spoken = envelope is not None or (status in IN_ANY_WORDS and not body.lstrip().startswith(b"<"))
    if not spoken:  # a proxy, a wrong base URL or a redirect: not PhotoGPT's word, and nothing was created
        hint = "; is PHOTOGPT_BASE_URL right?" if status < 400 or status == 404 else ""
        return Unavailable(said + hint, status=status, retry_after=retry_after, definite=status != 303)
    return Refused(said, reason=_by_words(message) or REFUSALS.get(status, Reason.REFUSED), status=status)


def _by_words(message: str) -> Reason | None:
    """The code for lacking credits is not documented; field reports quote the words."""
    words = message.lower()
    return (
        Reason.INSUFFICIENT_CREDITS
        if "credit" in words and ("insufficient" in words or "not enough" in words)
        else None
    )


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _finite(text: str) -> float | None:
    """NaN and infinity are Python's; no receiver of a webhook could read them."""
    value = float(text)
    return value if math.isfinite(value) else None


def _message(envelope: dict[str, Any] | None) -> str | None:
    """`message` is meant for readers, `err` for logs; either may be missing."""
    for name in ("message", "err", "error"):
        value = (envelope or {}).get(name)
        if value:
            return _quote(value if isinstance(value, str) else json.dumps(value))
    return None


def _quote(text: str | bytes) -> str:
    readable = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    readable = " ".join(readable.split())
    return readable[:MAX_QUOTE] + ("…" if len(readable) > MAX_QUOTE else "") or "nothing"
