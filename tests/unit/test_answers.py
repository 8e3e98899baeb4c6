"""PhotoGPT's answers and their meaning."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import ApiError, Conflict, Refused, Throttled, Unauthorized, Unavailable
from worker.domain.reason import Reason
from worker.http.errors import DeadlineExceeded
from worker.http.headers import MAX_SECONDS, parse_retry_after
from worker.photogpt.answers import connection_error, read_answer, text_of

HTML = b"<html><head><title>Attention required</title></head><body>error code: 1010</body></html>"
DATED = {"Date": "Wed, 21 Oct 2026 07:28:00 GMT"}


def nok(message: Any = "Something is wrong.", **more: Any) -> bytes:
    """Return an error envelope."""
    return json.dumps({"status": "NOK", "message": message, "err": "E", "result": None, **more}).encode()


@dataclass(frozen=True)
class Case:
    """One answer and the error it must raise."""

    status: int
    body: bytes
    kind: type[ApiError]
    reason: Reason
    definite: bool
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None

    def __str__(self) -> str:
        """Name the case."""
        return f"{self.status} {self.body[:24]!r} {' '.join(self.headers.values())}"


BAD, LOST, LIMIT = Reason.INVALID_REQUEST, Reason.UNAVAILABLE, Reason.RATE_LIMITED
CASES = [
    Case(400, nok(), Refused, BAD, True),
    Case(400, nok("Insufficient credits"), Refused, Reason.INSUFFICIENT_CREDITS, True),
    Case(400, nok("You do not have not enough CREDITS left"), Refused, Reason.INSUFFICIENT_CREDITS, True),
    Case(400, nok("credits must be a number"), Refused, BAD, True),
    Case(400, b"Bad Request", Refused, BAD, True),
    Case(400, b"", Refused, BAD, True),
    Case(400, b'["prompt"]', Refused, BAD, True),
    Case(400, HTML, Unavailable, LOST, True),
    Case(401, nok(), Unauthorized, Reason.UNAUTHORIZED, True),
    Case(401, HTML, Unauthorized, Reason.UNAUTHORIZED, True),
    Case(402, nok(), Refused, Reason.INSUFFICIENT_CREDITS, True),
    Case(402, b"Payment Required", Refused, Reason.INSUFFICIENT_CREDITS, True),
    Case(403, nok(), Refused, Reason.REFUSED, True),
    Case(403, nok("insufficient credits"), Refused, Reason.INSUFFICIENT_CREDITS, True),
    Case(403, HTML, Unavailable, LOST, True),
    Case(404, nok(), Refused, Reason.NOT_FOUND, True),
    Case(404, HTML, Unavailable, LOST, True),
    Case(404, b"", Unavailable, LOST, True),
    Case(405, nok(), Refused, Reason.REFUSED, True),
    Case(408, nok(), Unavailable, LOST, False),
    Case(409, nok(), Conflict, Reason.CONFLICT, True),
    Case(409, HTML, Conflict, Reason.CONFLICT, True, {"Retry-After": "7"}, 7),
    Case(413, nok(), Refused, BAD, True),
    Case(413, HTML, Unavailable, LOST, True),
    Case(415, nok(), Refused, BAD, True),
    Case(422, b"null", Refused, BAD, True),
    Case(422, nok(), Refused, BAD, True),
    Case(429, nok(), Throttled, LIMIT, True),
    Case(429, nok(), Throttled, LIMIT, True, {"Retry-After": "12"}, 12),
    Case(429, nok(), Throttled, LIMIT, True, {"Retry-After": "0.5"}, 0.5),
    Case(429, nok(), Throttled, LIMIT, True, {"Retry-After": "soon"}, None),
    Case(429, nok(), Throttled, LIMIT, True, {"Retry-After": "-5"}, None),
    Case(429, nok(), Throttled, LIMIT, True, DATED | {"Retry-After": "Wed, 21 Oct 2026 07:29:30 GMT"}, 90),
    Case(429, nok(), Throttled, LIMIT, True, DATED | {"Retry-After": "Wed, 21 Oct 2026 07:00:00 GMT"}, 0),
    Case(429, nok(), Throttled, LIMIT, True, {"Retry-After": "Wed, 21 Oct 2015 07:29:30 GMT"}, 0),
    Case(429, nok(), Throttled, LIMIT, True, {"Retry-After": "Wed, 21 Oct 2099 07:29:30 GMT"}, MAX_SECONDS),
    Case(429, HTML, Throttled, LIMIT, True, {"Retry-After": "3"}, 3),
    Case(500, nok(), Unavailable, LOST, False),
    Case(502, HTML, Unavailable, LOST, False),
    Case(503, b"", Unavailable, LOST, False, {"Retry-After": "9"}, 9),
    Case(504, b"upstream timed out", Unavailable, LOST, False),
    Case(599, nok(), Unavailable, LOST, False),
    Case(302, nok(), Unavailable, LOST, True),
    Case(400, b'{"error": "no"}', Refused, BAD, True),
    Case(303, b"", Unavailable, LOST, False),
    Case(302, b"", Unavailable, LOST, True),
    Case(304, b"", Unavailable, LOST, True),
    Case(200, HTML, Unavailable, LOST, False),
    Case(200, b"", Unavailable, LOST, False),
    Case(204, b"", Unavailable, LOST, False),
    Case(200, b"[]", Unavailable, LOST, False),
    Case(200, b"null", Unavailable, LOST, False),
    Case(200, b'"OK"', Unavailable, LOST, False),
    Case(200, b'{"status":"OK","result":', Unavailable, LOST, False),
    Case(200, b"\xff\xfe\x00", Unavailable, LOST, False),
    Case(200, nok(), Refused, Reason.REFUSED, True),
    Case(200, nok("Insufficient credits."), Refused, Reason.INSUFFICIENT_CREDITS, True),
    Case(201, nok(status="nok"), Refused, Reason.REFUSED, True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_error_answers_are_classified(case: Case) -> None:
    """Status, body and headers of an error answer decide class, reason, certainty and delay."""
    with pytest.raises(case.kind) as raised:
        read_answer(case.status, requests.structures.CaseInsensitiveDict(case.headers), case.body)
    error = raised.value
    assert (error.reason, error.definite, error.status) == (case.reason, case.definite, case.status)
    assert error.retry_after == case.retry_after


@pytest.mark.parametrize(
    ("status", "envelope", "result"),
    [
        (200, {"status": "OK", "result": {"jobId": "g-1"}}, {"jobId": "g-1"}),
        (201, {"status": "ok", "result": [1]}, [1]),
        (202, {"result": "Training triggered"}, "Training triggered"),
        (200, {"status": "OK", "message": "pong!"}, None),
        (200, {"status": 200, "result": {}}, {}),
        (200, {"result": [float("nan"), float("-inf"), 0.5]}, [None, None, 0.5]),
        (200, {"status": None, "result": {}}, {}),
    ],
)
def test_a_success_returns_its_result(status: int, envelope: dict[str, Any], result: Any) -> None:
    """A 2xx answer with an envelope other than NOK returns its result."""
    assert read_answer(status, {}, json.dumps(envelope).encode()) == result


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        ({"message": "No such model.", "err": "detail"}, "No such model."),
        ({"message": None, "err": "detail"}, "detail"),
        ({"err": {"field": "prompt"}}, '{"field": "prompt"}'),
        ({"message": ["a", "b"]}, '["a", "b"]'),
        ({"message": 7}, "7"),
        ({"error": "third place"}, "third place"),
        ({"status": "NOK"}, '{"status": "NOK"}'),
        ({"detail": [{"loc": ["prompt"]}]}, '{"detail": [{"loc": ["prompt"]}]}'),
        ({"message": "two\n  lines\tand a tab"}, "two lines and a tab"),
    ],
)
def test_the_message_is_found_and_fits_one_line(envelope: dict[str, Any], message: str) -> None:
    """The message of an error comes from whichever field has one, on one line, whatever its type."""
    with pytest.raises(Refused) as raised:
        read_answer(400, {}, json.dumps(envelope).encode())
    assert str(raised.value) == f"PhotoGPT answered 400: {message}"


@pytest.mark.parametrize(
    ("value", "text"), [("ü", "ü"), ("", None), (None, None), (7, "7"), ({"a": [1]}, '{"a": [1]}')]
)
def test_a_value_that_should_be_text(value: object, text: str | None) -> None:
    """Text of PhotoGPT's stays, nothing and '' are None, and a value of any other type becomes JSON."""
    assert text_of(value) == text


def test_an_infinite_number_is_read_as_none() -> None:
    """A number beyond the range of floats is read as None."""
    assert read_answer(200, {}, b'{"result": 1e999}') is None


def test_a_long_body_is_cut() -> None:
    """The body of an error is cut to a short message."""
    with pytest.raises(Unavailable) as raised:
        read_answer(502, {}, b"<p>" + b"x" * 100_000)
    assert len(str(raised.value)) < 400


def test_a_wrong_base_url_is_hinted_at() -> None:
    """An HTML page under 404 names PHOTOGPT_BASE_URL in its error."""
    with pytest.raises(Unavailable, match="PHOTOGPT_BASE_URL"):
        read_answer(404, {}, HTML)


@given(status=st.integers(min_value=200, max_value=599), body=st.binary(max_size=60))
def test_no_bytes_raise_anything_but_an_api_error(status: int, body: bytes) -> None:
    """No body raises anything except an ApiError."""
    try:
        read_answer(status, {}, body)
    except ApiError as error:
        assert str(error)  # noqa: PT017 - either way is right, a third is not


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    status=st.sampled_from([200, 400, 401, 404, 409, 429, 500]),
    envelope=st.dictionaries(st.sampled_from(["status", "message", "err", "error", "result"]), JSON),
)
def test_no_envelope_raises_anything_but_an_api_error(status: int, envelope: dict[str, Any]) -> None:
    """No types in an envelope raise anything except an ApiError."""
    try:
        read_answer(status, {}, json.dumps(envelope).encode())
    except ApiError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either way is right, a third is not


@pytest.mark.parametrize("depth", [100, 990, 100_000])
def test_deep_nesting_raises_an_api_error(depth: int) -> None:
    """Deeply nested JSON raises an ApiError, not a RecursionError."""
    with pytest.raises(ApiError):
        read_answer(400, {}, b'{"message":' + b"[" * depth + b"]" * depth + b"}")


@pytest.mark.parametrize("text", ["9" * 400, "1" * 5000])
def test_a_huge_retry_after_is_bounded(text: str) -> None:
    """A Retry-After of thousands of digits becomes a bounded delay or None."""
    found = parse_retry_after({"Retry-After": text})
    assert found is None or found < 10**9


@given(text=st.text(max_size=12) | st.from_regex(r"[0-9.]{1,12}"), date=st.text(max_size=12))
def test_no_header_raises(text: str, date: str) -> None:
    """No text in Retry-After or Date raises an error or becomes a negative delay."""
    found = parse_retry_after({"Retry-After": text, "Date": date})
    assert found is None or found >= 0


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectTimeout("x"),
        requests.ReadTimeout("x"),
        requests.exceptions.SSLError("x"),
        DeadlineExceeded("x"),
        requests.ConnectionError("reset"),
        requests.ConnectionError(),
        requests.exceptions.ChunkedEncodingError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_call_without_an_answer_is_definite_only_if_unsent(error: requests.RequestException, *, sent: bool) -> None:
    """A call without an answer created nothing for certain only if no byte was sent, whatever its error."""
    named = connection_error(error, sent=sent)
    assert isinstance(named, Unavailable)
    assert named.definite is not sent
