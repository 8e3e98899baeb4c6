"""From an answer to the bytes that are sent, and what faults make of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import responses

from worker.sandbox.answers import Answer, nok
from worker.sandbox.faults import Action
from worker.sandbox.world import JsonObject

_PAGE = """<!DOCTYPE html>
<html><head><title>{code} {reason}</title></head>
<body><center><h1>{code} {reason}</h1></center><hr><center>sandbox proxy</center></body></html>
"""
_CASES: dict[str, Callable[[str], str]] = {"upper": str.upper, "title": str.title}


@dataclass(frozen=True, slots=True)
class Reply:
    """Head and body as they go on the wire."""

    code: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def head(self, length: int | None = None) -> bytes:
        """Status line and headers; the length may be another than the body's."""
        lines = [
            f"HTTP/1.1 {self.code} {responses.get(self.code, 'Unknown')}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body) if length is None else length}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"

    def encode(self) -> bytes:
        """The whole answer."""
        return self.head() + self.body


def reply_to(answer: Answer) -> Reply:
    """An answer without any fault."""
    return Reply(answer.code, json.dumps(answer.body).encode(), headers=answer.headers)


def spoilt_reply(operation: str, answer: Answer | None, action: Action, now: float) -> Reply:
    """What the action makes of an answer, or puts in place of one that no work was done for."""
    if action.html is not None:
        page = _PAGE.format(code=action.html, reason=responses.get(action.html, "Unknown"))
        return Reply(action.html, page.encode(), content_type="text/html; charset=utf-8")
    if action.garbage:
        return Reply(200, b'{"status": "OK", "result": {"jobId": ')
    refusal = _refusal(action, now)
    if refusal is not None:
        return reply_to(refusal)
    if answer is None:  # a rule that says no more than "do no work"
        return reply_to(nok(500, "No work was done."))
    _spoil(operation, answer.body, action)
    return reply_to(answer)


def _refusal(action: Action, now: float) -> Answer | None:
    """The NOK answer an action asks for."""
    default: tuple[int, str] | None = None
    if action.unauthorized:
        default = 401, "Unauthorized"
    elif action.not_found:
        default = 404, "Not found"
    elif action.nok_200:
        default = 200, "Something went wrong"
    code = action.status or action.status_after
    if code is not None:
        default = code, responses.get(code, "Unknown")
    if default is None:
        return None
    answer = nok(default[0], action.message or default[1], "a fault of the sandbox")
    answer.headers = _retry_after(action, now)
    return answer


def _retry_after(action: Action, now: float) -> tuple[tuple[str, str], ...]:
    if action.retry_after_date is not None:
        moment = datetime.fromtimestamp(now + action.retry_after_date, UTC)
        return (("Retry-After", format_datetime(moment, usegmt=True)),)
    if action.retry_after is None:
        return ()
    text = action.retry_after if isinstance(action.retry_after, str) else f"{action.retry_after:g}"
    return (("Retry-After", text),)


def _spoil(operation: str, body: JsonObject, action: Action) -> None:
    """Changes the result of a good answer in place."""
    result = body.get("result")
    records = result.get("jobs", [result]) if isinstance(result, dict) else []
    for record in records:
        if action.missing_job_id and operation.startswith("trigger"):
            record.pop("jobId", None)
        if action.unknown_status is not None and "status" in record:
            record["status"] = action.unknown_status
            for outputs in ("images", "videos", "error", "errorMessage"):
                record.pop(outputs, None)
        if action.odd_case is not None and "status" in record:
            record["status"] = _CASES[action.odd_case](record["status"])
