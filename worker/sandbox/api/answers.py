"""The success and error envelopes of PhotoGPT, and the exception that any operation may raise to refuse a request."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from worker.sandbox.media.content import Content
from worker.sandbox.state.records import JsonObject


@dataclass(slots=True)
class Answer:
    """An HTTP answer before it is written; faults may still change it."""

    code: int
    body: JsonObject
    headers: tuple[tuple[str, str], ...] = ()
    content: Content | None = None
    """A file, which is sent in place of the body."""
    content_type: str = "application/json"


class Refusal(Exception):
    """The request gets a NOK answer with this code."""

    def __init__(self, code: int, message: str, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.answer = nok(code, message, detail, retry_after=retry_after)


def ok(result: Any, **beside: Any) -> Answer:
    """Return the success envelope; `beside` adds fields next to `result`."""
    return Answer(200, {"status": "OK", "result": result, **beside})


def nok(code: int, message: str, detail: str = "", *, retry_after: float | None = None) -> Answer:
    """Return the error envelope: a readable message, and a detail for logs."""
    headers = () if retry_after is None else (("Retry-After", f"{retry_after:g}"),)
    return Answer(code, {"status": "NOK", "message": message, "err": detail or message, "result": None}, headers)


def rfc3339(at: float) -> str:
    """Format a time in UTC, rounded to milliseconds."""
    second, ms = divmod(round(round(at, 3) * 1000), 1000)
    return f"{_whole_second(second)}.{ms:03d}Z"


@lru_cache(maxsize=4096)
def _whole_second(second: int) -> str:
    """Cached, because entries of one page share their seconds and formatting dominates the cost of a page."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_rfc3339(text: str) -> float:
    """Parse a time; one without an offset is UTC.

    Raises:
        ValueError: the text is not a time.
    """
    parsed = datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
