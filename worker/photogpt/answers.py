"""PhotoGPT's answers: read the envelope, and map every error to an `ApiError`.

PhotoGPT documents the codes 400, 401, 404, 409, 429 and 5xx (`docs/error-codes`). Error bodies are often JSON but not
always, and `NOK` may come under any code, so both code and body decide.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

from config.environment import ignored_proxy_variables
from worker.domain.errors import ApiError, Conflict, Refused, Throttled, Unauthorized, Unavailable
from worker.domain.media_type import UNKNOWN, media_type
from worker.domain.reason import Reason
from worker.http.adapter import REDIRECTS
from worker.http.errors import root_cause, unknown_authority_hint
from worker.http.headers import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_QUOTE_CHARS = 300

REFUSALS = {
    400: Reason.INVALID_REQUEST,
    402: Reason.INSUFFICIENT_CREDITS,
    404: Reason.NOT_FOUND,
    413: Reason.INVALID_REQUEST,
    415: Reason.INVALID_REQUEST,
    422: Reason.INVALID_REQUEST,
}
"""Codes of final refusals."""

REFUSALS_WITHOUT_ENVELOPE = frozenset({400, 402, 422})
"""Codes that refuse a request even if the body is not PhotoGPT's envelope; an HTML page comes from a proxy."""


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """Return `result` of a successful answer.

    Raises:
        ApiError: the answer is an error; the subclass classifies it.
    """
    envelope = _json(body)
    if 200 <= status < 300:
        if envelope is None:
            raise Unavailable(f"PhotoGPT's answer {status} is not JSON: {_quote(body)}", status=status)
        if str(envelope.get("status", "OK")).upper() != "NOK":
            return envelope.get("result")
        message = _message(envelope) or _quote(body)
        raise Refused(message, reason=_reason_from_message(message) or Reason.REFUSED, status=status)
    raise _error(status, headers, body, envelope)


@dataclass(frozen=True, slots=True)
class DownloadStatus:
    """The answer of GET /videos/{id}/download. `status` is in lower case; only `ready` is documented."""

    status: str
    url: str | None
    #: Of the preparation.
    percent: float = 0

    @property
    def is_ready(self) -> bool:
        """Whether the file is prepared, also under a status that is not documented."""
        return self.status == "ready" or self.percent >= 100


def read_download(url: str, status: int, headers: Mapping[str, str], body: bytes) -> DownloadStatus:
    """Return the status of a download. An answer that is the file, or redirects to it, says that `url` leads to it.

    Raises:
        ApiError: the answer is an error.
    """
    if status in REDIRECTS or (status == 200 and media_type(body) is not UNKNOWN):
        return DownloadStatus("ready", url)
    result = read_answer(status, headers, body)
    if not isinstance(result, dict):
        raise Unavailable("PhotoGPT's answer has no status of the download", status=200)
    percent = result.get("percentComplete")
    return DownloadStatus(
        status=str(result.get("status") or "").strip().lower(),
        url=text_of(result.get("url")),
        percent=percent if isinstance(percent, int | float) else 0,
    )


def text_of(value: Any) -> str | None:
    """Return text unchanged, nothing for None and '', and anything else as JSON: PhotoGPT documents few types."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value)


def connection_error(error: requests.RequestException, *, sent: bool, proxied: bool = False) -> ApiError:
    """Return the `ApiError` for a call without an answer.

    Args:
        error: the exception of `requests`.
        sent: bytes of the request may have been sent; otherwise PhotoGPT created nothing.
        proxied: the call goes through the proxy of the settings.
    """
    if not sent:
        return Unavailable(
            f"PhotoGPT cannot be reached: {_quote(root_cause(error))}{_hint(error, proxied=proxied)}", definite=True
        )
    if isinstance(error, requests.Timeout):
        return Unavailable(f"PhotoGPT did not answer in time: {_quote(root_cause(error))}")
    return Unavailable(f"the connection to PhotoGPT broke: {_quote(root_cause(error))}")


def _hint(error: requests.RequestException, *, proxied: bool) -> str:
    """Return what to do about a connection that could not be opened."""
    if isinstance(error, requests.exceptions.SSLError):
        return unknown_authority_hint(error, "PHOTOGPT_API_CA_FILE")
    if proxied:
        return "; check PHOTOGPT_API_PROXY_URL and the proxy's log"
    if names := ignored_proxy_variables():
        return (
            f"; {' and '.join(names)} of the environment is ignored, because requests carry the API key: "
            "if PhotoGPT is reachable only through a proxy, set PHOTOGPT_API_PROXY_URL"
        )
    return ""


def _error(status: int, headers: Mapping[str, str], body: bytes, envelope: dict[str, Any] | None) -> ApiError:
    message = _message(envelope) or _quote(body)
    retry_after = parse_retry_after(headers)
    text = f"PhotoGPT answered {status}: {message}"
    if status == 401:
        return Unauthorized(f"PhotoGPT does not accept the API key (401): {message}", status=status)
    if status == 429:
        return Throttled(text, status=status, retry_after=retry_after)
    if status == 409:
        return Conflict(text, status=status, retry_after=retry_after)
    if status >= 500 or status == 408:
        return Unavailable(text, status=status, retry_after=retry_after, definite=False)
    if status < 400:
        envelope = None  # a redirect is never PhotoGPT's answer
    from_photogpt = envelope is not None or (status in REFUSALS_WITHOUT_ENVELOPE and not body.lstrip().startswith(b"<"))
    if not from_photogpt:  # a proxy, a wrong base URL or a redirect; only 303 may follow a created generation
        hint = "; is PHOTOGPT_BASE_URL right?" if status < 400 or status == 404 else ""
        return Unavailable(text + hint, status=status, retry_after=retry_after, definite=status != 303)
    return Refused(text, reason=_reason_from_message(message) or REFUSALS.get(status, Reason.REFUSED), status=status)


def _reason_from_message(message: str) -> Reason | None:
    """Return INSUFFICIENT_CREDITS if the message says so: PhotoGPT documents no code for it."""
    text = message.lower()
    return (
        Reason.INSUFFICIENT_CREDITS if "credit" in text and ("insufficient" in text or "not enough" in text) else None
    )


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _finite(text: str) -> float | None:
    """Return None for infinity, which is not valid JSON in a webhook."""
    value = float(text)
    return value if math.isfinite(value) else None


def _message(envelope: dict[str, Any] | None) -> str | None:
    """Return the first of `message`, `err` and `error` that is set; each may be missing or of any type."""
    for name in ("message", "err", "error"):
        value = (envelope or {}).get(name)
        if value:
            return _quote(value if isinstance(value, str) else json.dumps(value))
    return None


def _quote(text: str | bytes) -> str:
    readable = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    readable = " ".join(readable.split())
    return readable[:MAX_QUOTE_CHARS] + ("…" if len(readable) > MAX_QUOTE_CHARS else "") or "nothing"
