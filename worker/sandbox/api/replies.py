"""Encode an answer as bytes, changed by the fault of the request."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from http.client import responses
from typing import Literal, TypeAlias

from worker.sandbox.api.answers import Answer, nok
from worker.sandbox.api.request import Request
from worker.sandbox.faults.actions import Action
from worker.sandbox.media.content import BLOCK_BYTES, Content
from worker.sandbox.state.records import JsonObject

Framing: TypeAlias = Literal["length", "chunked", "close"]

_FRAMING_HEADERS: dict[Framing, str] = {
    "length": "Content-Length: {}",
    "chunked": "Transfer-Encoding: chunked",
    "close": "Connection: close",
}
_PAGE = """<!DOCTYPE html>
<html><head><title>{code} {reason}</title></head>
<body><center><h1>{code} {reason}</h1></center><hr><center>sandbox proxy</center></body></html>
"""
_CASES: dict[str, Callable[[str], str]] = {"upper": str.upper, "title": str.title}


@dataclass(frozen=True, slots=True)
class Reply:
    """The head and body of an HTTP answer."""

    code: int
    content: Content
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = "length"
    """How the receiver learns where the body ends."""
    head_only: bool = False
    """Whether the body is not sent, as for HEAD."""

    def head(self) -> bytes:
        """Return status line and headers."""
        lines = [
            f"HTTP/1.1 {self.code} {responses.get(self.code, 'Unknown')}",
            f"Content-Type: {self.content_type}",
            _FRAMING_HEADERS[self.framing].format(self.content.size),
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"

    def pieces(self) -> Iterator[bytes]:
        """Yield the body that is sent."""
        return iter(()) if self.head_only else self.content.pieces()


def reply_to(answer: Answer, *, head_only: bool = False) -> Reply:
    """Encode an answer without a fault."""
    content = answer.content or Content(json.dumps(answer.body).encode())
    return Reply(answer.code, content, content_type=answer.content_type, headers=answer.headers, head_only=head_only)


def faulty_reply(request: Request, answer: Answer | None, now: float) -> Reply:
    """Encode the answer to a request with its fault; `answer` is None if the request did no work."""
    action = request.action
    reply = _damaged(request, answer, now)
    content = reply.content if action.huge is None else _enlarged(reply.content, action.huge)
    content_type = action.content_type or reply.content_type
    framing = _framing(action)
    return replace(reply, content=content, content_type=content_type, framing=framing, head_only=request.head_only)


def _damaged(request: Request, answer: Answer | None, now: float) -> Reply:
    action = request.action
    if action.html is not None:
        page = _PAGE.format(code=action.html, reason=responses.get(action.html, "Unknown"))
        return Reply(action.html, Content(page.encode()), content_type="text/html; charset=utf-8")
    if action.garbage:
        return Reply(200, Content(b'{"status": "OK", "result": {"jobId": '))
    if action.redirect is not None:
        location = action.redirect.replace("{id}", request.id)
        return Reply(action.status or 302, Content(b""), content_type="text/plain", headers=(("Location", location),))
    refusal = _refusal(action, now)
    if refusal is not None:
        return reply_to(refusal)
    if answer is None:  # a rule that only sets `work` to false
        return reply_to(nok(500, "No work was done."))
    _alter(request.operation, answer.body, action)
    return reply_to(answer)


def _framing(action: Action) -> Framing:
    if action.chunked:
        return "chunked"
    return "close" if action.without_length or action.endless else "length"


def _enlarged(content: Content, size: int) -> Content:
    """Append spaces up to a size; JSON stays valid."""
    head = b"".join(content.pieces())
    repeats, rest = divmod(max(0, size - len(head)), BLOCK_BYTES)
    return Content(head, b" " * BLOCK_BYTES, repeats, b" " * rest)


def _refusal(action: Action, now: float) -> Answer | None:
    """Return the NOK answer that an action defines, or None."""
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


def _alter(operation: str, body: JsonObject, action: Action) -> None:
    """Change the result of a successful answer in place."""
    result = body.get("result")
    records = result.get("jobs", [result]) if isinstance(result, dict) else []
    for record in records:
        if action.missing_job_id and operation.startswith("trigger"):
            record.pop("jobId", None)
        if action.unknown_status is not None and "status" in record:
            record["status"] = action.unknown_status
            for outputs in ("images", "videos", "error", "errorMessage", "url"):
                record.pop(outputs, None)
        if action.odd_case is not None and "status" in record:
            record["status"] = _CASES[action.odd_case](record["status"])
