"""What goes back: the envelopes of PhotoGPT, and a refusal that any operation may raise."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from worker.sandbox.world import JsonObject


@dataclass(slots=True)
class Answer:
    """An HTTP answer before it is written; faults may still change it."""

    code: int
    body: JsonObject
    headers: tuple[tuple[str, str], ...] = ()


class Refusal(Exception):
    """The request gets a NOK answer with this code."""

    def __init__(self, code: int, message: str, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.answer = nok(code, message, detail, retry_after=retry_after)


def ok(result: Any, **beside: Any) -> Answer:
    """The success envelope, with whatever stands beside `result`."""
    return Answer(200, {"status": "OK", "result": result, **beside})


def nok(code: int, message: str, detail: str = "", *, retry_after: float | None = None) -> Answer:
    """The error envelope: a readable message, and a detail for logs."""
    headers = () if retry_after is None else (("Retry-After", f"{retry_after:g}"),)
    return Answer(code, {"status": "NOK", "message": message, "err": detail or message, "result": None}, headers)


def rfc3339(at: float) -> str:
    """A time in UTC to the nearest millisecond."""
    second, ms = divmod(round(round(at, 3) * 1000), 1000)
    return f"{_whole_second(second)}.{ms:03d}Z"


@lru_cache(maxsize=4096)
def _whole_second(second: int) -> str:
    """The times on a page lie close together, and formatting them is most of what a page costs."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_rfc3339(text: str) -> float:
    """Reads a time; one without an offset is taken as UTC, and what is none is a ValueError."""
    parsed = datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
