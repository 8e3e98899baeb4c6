"""PhotoGPT's client against the sandbox with its faults, and against servers that behave worse."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from tests.contract.peers import Conversation, Peer, Script, answering, headers_of, server_tls
from tests.unit.factories import REQUESTS
from worker import __version__
from worker.domain.errors import ApiError, Conflict, MissingGenerationId, Refused, Throttled, Unauthorized, Unavailable
from worker.domain.job import Kind
from worker.domain.reason import Reason
from worker.photogpt.client import PhotoGPT
from worker.photogpt.listing import MAX_PAGES
from worker.sandbox.remote import SandboxProcess

Make = Callable[..., PhotoGPT]
IMAGE = REQUESTS[Kind.IMAGE] | {"sandbox": {"duration_s": 0}}


@pytest.fixture
def make() -> Iterator[Make]:
    """Make clients of a base address."""
    made: list[PhotoGPT] = []

    def client(base_url: str, **settings: Any) -> PhotoGPT:
        usual: dict[str, Any] = {"api_key": "sandbox-key", "api_connect_timeout_s": 1, "api_call_deadline_s": 5}
        made.append(PhotoGPT(Settings(**{"_env_file": None, "base_url": base_url} | usual | settings)))
        return made[-1]

    yield client
    for each in made:
        each.close()


@pytest.fixture
def photogpt(make: Make, sandbox: SandboxProcess) -> PhotoGPT:
    """A client of the sandbox."""
    return make(sandbox.base_url)


# -- without faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.IMAGE, Kind.UPSCALE, Kind.VIDEO])
def test_a_generation_from_trigger_to_output(photogpt: PhotoGPT, kind: Kind) -> None:
    """Each kind of generation is triggered at its own endpoint and returns its images or videos."""
    generation_id = photogpt.trigger(kind, REQUESTS[kind] | {"sandbox": {"duration_s": 0}})
    assert generation_id
    seen = photogpt.generation(generation_id)
    assert seen.status == "success"
    assert bool(seen.images) is (kind is not Kind.VIDEO)
    assert bool(seen.videos) is (kind is Kind.VIDEO)


def test_a_training_from_trigger_to_ready(photogpt: PhotoGPT, sandbox: SandboxProcess) -> None:
    """A training is triggered with a GET, has no id of its own, and ends with its model ready."""
    sandbox.control.model("model_001", images=12, duration_s=0)
    before = photogpt.model("model_001")
    assert photogpt.trigger(Kind.TRAINING, {"modelID": "model_001"}) is None
    after = photogpt.model("model_001")
    assert (before.status, after.status) == ("new", "ready")
    assert after.updated_at != before.updated_at


def test_a_failed_generation_has_a_message(photogpt: PhotoGPT) -> None:
    """A failed generation is an answer with PhotoGPT's message, not an exception."""
    generation_id = photogpt.trigger(Kind.IMAGE, IMAGE | {"sandbox": {"duration_s": 0, "error": "unsafe prompt"}})
    seen = photogpt.generation(generation_id or "")
    assert (seen.status, seen.error, seen.images) == ("failed", "unsafe prompt", ())


def test_ping(photogpt: PhotoGPT) -> None:
    """A ping with a valid key and version header raises nothing."""
    photogpt.ping()


def test_the_list_is_read_to_its_end(photogpt: PhotoGPT, sandbox: SandboxProcess) -> None:
    """The list is read page by page to its end, whatever the page size."""
    made = {photogpt.trigger(Kind.IMAGE, IMAGE) for _ in range(7)}
    sandbox.control.options(page_size=3)
    try:
        found = listed(photogpt, *_around(sandbox))
    finally:
        sandbox.control.options(page_size=50)
    assert sorted(found) == sorted(filter(None, made))
    assert sandbox.control.state(lists=False)["list_requests"] == 3


@pytest.mark.parametrize("mark", ["empty", "null"])
def test_the_last_page_may_be_marked_in_any_way(photogpt: PhotoGPT, sandbox: SandboxProcess, mark: str) -> None:
    """An empty and a null page token both end the list."""
    photogpt.trigger(Kind.IMAGE, IMAGE)
    sandbox.control.faults({"match": "listJobs", "action": {"last_page": mark}})
    assert len(listed(photogpt, *_around(sandbox))) == 1


def _around(sandbox: SandboxProcess) -> tuple[float, float]:
    """Return a time window that contains everything a test created."""
    now = sandbox.control.state(lists=False)["now"]
    at = datetime.fromisoformat(now).timestamp()
    return at - 60, at + 60


# -- the sandbox's faults -------------------------------------------------------------------------------------------

Fault = tuple[dict[str, Any], type[ApiError], Reason, bool, int]
"""An action, then class, reason and certainty of the error, then how many generations there are."""

FAULTS: list[Fault] = [
    ({"status": 400}, Refused, Reason.INVALID_REQUEST, True, 0),
    ({"status": 400, "message": "insufficient credits"}, Refused, Reason.INSUFFICIENT_CREDITS, True, 0),
    ({"status": 402}, Refused, Reason.INSUFFICIENT_CREDITS, True, 0),
    ({"status": 403}, Refused, Reason.REFUSED, True, 0),
    ({"unauthorized": True}, Unauthorized, Reason.UNAUTHORIZED, True, 0),
    ({"not_found": True}, Refused, Reason.NOT_FOUND, True, 0),
    ({"status": 409}, Conflict, Reason.CONFLICT, True, 0),
    ({"status": 429}, Throttled, Reason.RATE_LIMITED, True, 0),
    ({"status": 429, "retry_after": "later"}, Throttled, Reason.RATE_LIMITED, True, 0),
    ({"nok_200": True}, Refused, Reason.REFUSED, True, 0),
    ({"html": 403}, Unavailable, Reason.UNAVAILABLE, True, 0),
    ({"html": 502}, Unavailable, Reason.UNAVAILABLE, False, 0),
    ({"html": 200}, Unavailable, Reason.UNAVAILABLE, False, 0),
    ({"status": 500}, Unavailable, Reason.UNAVAILABLE, False, 0),
    ({"status": 503}, Unavailable, Reason.UNAVAILABLE, False, 0),
    ({"status_after": 500}, Unavailable, Reason.UNAVAILABLE, False, 1),
    ({"drop": True}, Unavailable, Reason.UNAVAILABLE, False, 0),
    ({"drop_after": True}, Unavailable, Reason.UNAVAILABLE, False, 1),
    ({"reset_half_body": True}, Unavailable, Reason.UNAVAILABLE, False, 1),
    ({"garbage": True}, Unavailable, Reason.UNAVAILABLE, False, 1),
    ({"missing_job_id": True}, MissingGenerationId, Reason.UNAVAILABLE, False, 1),
    ({"huge": 200_000}, Unavailable, Reason.UNAVAILABLE, False, 1),
    ({"drip": 0.05}, Unavailable, Reason.UNAVAILABLE, False, 1),
    ({"latency": 2}, Unavailable, Reason.UNAVAILABLE, False, 1),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault[0]))
def test_a_fault_of_the_trigger(make: Make, sandbox: SandboxProcess, fault: Fault) -> None:
    """Each fault of a trigger raises its error class, is definite only if nothing was created, and is not retried."""
    action, kind, reason, definite, created = fault
    sandbox.control.faults({"match": "triggerImageGenerationJob", "action": action})
    client = make(sandbox.base_url, api_call_deadline_s=1.0, api_max_answer_bytes=100_000)
    with pytest.raises(ApiError) as raised:
        client.trigger(Kind.IMAGE, IMAGE)
    assert type(raised.value) is kind
    assert (raised.value.reason, raised.value.definite) == (reason, definite)
    assert len(sandbox.control.generations()) == created
    assert sandbox.control.state(lists=False)["requests"]["triggerImageGenerationJob"] == 1


@pytest.mark.parametrize(
    ("action", "expected"),
    [({"retry_after": 7}, 7), ({"retry_after_date": 90}, 90), ({"retry_after": "soon"}, None), ({}, None)],
)
def test_retry_after_is_returned(
    photogpt: PhotoGPT, sandbox: SandboxProcess, action: dict[str, Any], expected: float | None
) -> None:
    """Retry-After is read in seconds and as a date by PhotoGPT's own clock."""
    sandbox.control.faults({"match": "getJobStatus", "action": {"status": 429, **action}})
    with pytest.raises(Throttled) as raised:
        photogpt.generation("g-1")
    assert raised.value.retry_after == (pytest.approx(expected, abs=2) if expected else None)


@pytest.mark.parametrize("case", ["upper", "title"])
def test_statuses_are_read_in_any_case(photogpt: PhotoGPT, sandbox: SandboxProcess, case: str) -> None:
    """A status is read in lower case, as the vendor's own sample does."""
    generation_id = photogpt.trigger(Kind.IMAGE, IMAGE)
    sandbox.control.faults({"match": "getJobStatus", "action": {"odd_case": case}})
    assert photogpt.generation(generation_id or "").status == "success"


def test_an_unknown_status_is_handed_on(photogpt: PhotoGPT, sandbox: SandboxProcess) -> None:
    """An unknown status is returned in lower case and raises nothing."""
    generation_id = photogpt.trigger(Kind.IMAGE, IMAGE)
    sandbox.control.faults({"match": "getJobStatus", "action": {"unknown_status": "Moderating"}})
    assert photogpt.generation(generation_id or "").status == "moderating"


def test_a_revoked_key(photogpt: PhotoGPT, sandbox: SandboxProcess) -> None:
    """A revoked key raises Unauthorized from every call."""
    sandbox.control.keys(revoke=["sandbox-key"])
    try:
        for call in (photogpt.ping, lambda: photogpt.generation("g"), lambda: photogpt.trigger(Kind.IMAGE, IMAGE)):
            with pytest.raises(Unauthorized):
                call()
    finally:
        sandbox.control.keys(add=["sandbox-key"])


# -- requests -------------------------------------------------------------------------------------------------------

SEEN = json.dumps({"status": "OK", "result": {"status": "queued"}}).encode()
ACCEPTED = json.dumps({"status": "OK", "result": {"jobId": "g-1", "status": "queued"}}).encode()


@pytest.mark.parametrize("name", [None, "", 0, True, 1.5, ["g-1"], {"id": "g-1"}], ids=str)
def test_a_generation_id_that_is_none(make: Make, name: Any) -> None:
    """A trigger whose answer has no usable generation id raises MissingGenerationId."""
    answer = json.dumps({"status": "OK", "result": {"jobId": name, "status": "queued"}}).encode()
    with Peer(answering(200, answer)) as peer, pytest.raises(MissingGenerationId):
        make(peer.url).trigger(Kind.IMAGE, IMAGE)


def test_a_generation_id_that_is_a_number(make: Make) -> None:
    """A generation id that is a number is returned as text."""
    with Peer(answering(200, b'{"status":"OK","result":{"jobId":1234567890123456789}}')) as peer:
        assert make(peer.url).trigger(Kind.IMAGE, IMAGE) == "1234567890123456789"


def test_the_headers_of_every_call(make: Make) -> None:
    """Every request has key, version and user agent, and only a POST has a content type."""
    with Peer(answering(200, ACCEPTED)) as peer:
        client = make(peer.url, api_key="key-1")
        client.trigger(Kind.IMAGE, {"modelID": "m", "prompt": "Häfen"})
        client.generation("g-1")
    for request in peer.requests:
        headers = headers_of(request)
        assert headers["authorization"] == "Bearer key-1"
        assert headers["api-version"] == "1"
        assert headers["user-agent"] == f"photogpt-worker/{__version__}"
        assert headers["accept"] == "application/json"
    assert headers_of(peer.requests[0])["content-type"] == "application/json"
    assert "content-type" not in headers_of(peer.requests[1])
    assert json.loads(peer.requests[0].partition(b"\r\n\r\n")[2]) == {"modelID": "m", "prompt": "Häfen"}
    assert len(peer.conversations) == 1


def test_calls_have_nothing_in_common(make: Make) -> None:
    """No cookie, body or redirect of one call changes the next call."""
    with Peer(answering(307, ACCEPTED, "Set-Cookie: a=1; Path=/", "Location: /elsewhere")) as peer:
        client = make(peer.url)
        calls: list[Callable[[], object]] = [client.ping, lambda: client.trigger(Kind.IMAGE, IMAGE), client.ping]
        for call in calls:
            with pytest.raises(Unavailable, match="307"):
                call()
    assert [request.split(b" ")[1] for request in peer.requests] == [b"/ping", b"/images/generation", b"/ping"]
    first, _, last = map(headers_of, peer.requests)
    assert first == last
    assert not {"cookie", "content-type", "content-length"} & {*last}
    assert len(peer.conversations) == 1


@pytest.mark.parametrize("base", ["http://{peer}/v 1/ü/", "http://{peer}"])
def test_the_base_address_is_encoded_once(make: Make, base: str) -> None:
    """Path and ids are percent-encoded exactly once, as `requests` does it."""
    with Peer(answering(200, SEEN)) as peer:
        client = make(base.format(peer=peer.url.partition("//")[2]))
        client.ping()
        client.generation("a%20b")
    path = "/v%201/%C3%BC" if "v 1" in base else ""
    assert [request.split(b" ")[1].decode() for request in peer.requests] == [f"{path}/ping", f"{path}/jobs/a%2520b"]
    assert {headers_of(request)["authorization"] for request in peer.requests} == {"Bearer sandbox-key"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("g-1", "g-1"),
        ("a/b", "a%2Fb"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("a b", "a%20b"),
        ("a%2Fb", "a%252Fb"),
        ("ü", "%C3%BC"),
        ("../ping", "..%2Fping"),
        ("a\r\nX: 1", "a%0D%0AX%3A%201"),
    ],
)
def test_odd_ids_stay_in_their_place(make: Make, name: str, path: str) -> None:
    """An id with slashes, spaces or line breaks reaches no other endpoint."""
    with Peer(answering(200, SEEN)) as peer:
        client = make(f"{peer.url}/api")
        client.generation(name)
        client.model(name)
        client.trigger(Kind.TRAINING, {"modelID": name})
    lines = [request.split(b"\r\n")[0].decode() for request in peer.requests]
    assert lines == [f"GET /api/{what} HTTP/1.1" for what in (f"jobs/{path}", f"models/{path}", f"models/{path}/train")]


@pytest.mark.parametrize("name", [".", ".."])
def test_ids_that_a_path_cannot_hold_are_not_sent(make: Make, name: str) -> None:
    """The ids `.` and `..`, which URL libraries remove from a path, are refused before anything is sent."""
    with Peer(answering(200, ACCEPTED)) as peer:
        with pytest.raises(ApiError):
            make(f"{peer.url}/api").trigger(Kind.TRAINING, {"modelID": name})
        assert peer.requests == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_key_does_not_follow_a_redirect(make: Make, status: int) -> None:
    """A redirect is not followed, so the key reaches no other server."""
    with Peer(answering(200, ACCEPTED)) as other, Peer(answering(status, b"", f"Location: {other.url}/")) as peer:
        with pytest.raises(Unavailable):
            make(peer.url).trigger(Kind.IMAGE, IMAGE)
        assert other.conversations == []


# -- faulty lists --------------------------------------------------------------------------------------------------


def listed(client: PhotoGPT, start: float, end: float) -> list[str]:
    """Return the ids of the generations of a window."""
    return [entry["jobId"] for page in client.pages_between(start, end) for entry in page]


def pages(token: Callable[[int], object]) -> Script:
    """Serve pages with one job each; `token` makes the next token from the page's number."""
    served = iter(range(10_000))

    def script(conversation: Conversation) -> None:
        number = next(served)
        result = {"jobs": [{"jobId": f"g-{number}"}, None, {}, "noise"], "nextPageToken": token(number)}
        conversation.answer(200, json.dumps({"status": "OK", "result": result}).encode())

    return script


def test_a_list_without_an_end_is_not_believed(make: Make) -> None:
    """A list that never ends raises Unavailable after MAX_PAGES pages."""
    with Peer(pages(lambda number: f"t-{number}")) as peer, pytest.raises(Unavailable, match="pages"):
        listed(make(peer.url), 0, 1)
    assert len(peer.requests) == MAX_PAGES


def test_a_repeated_token_ends_a_list(make: Make) -> None:
    """A page token that repeats ends the list."""
    with Peer(pages(lambda number: "a" if number else "b")) as peer:
        found = listed(make(peer.url), 0, 1)
    assert found == ["g-0", "g-1", "g-2"]
    assert len(peer.requests) == 3


def test_the_window_is_repeated_with_the_token(make: Make) -> None:
    """Every page request repeats the time window beside the page token."""
    with Peer(pages(lambda number: "a/b" if number == 0 else None)) as peer:
        listed(make(peer.url), 0, 1.5)
    window = "start=1970-01-01T00%3A00%3A00.000Z&end=1970-01-01T00%3A00%3A01.500Z"
    lines = [request.split(b" ")[1].decode() for request in peer.requests]
    assert lines == [f"/jobs?{window}", f"/jobs?{window}&pageToken=a%2Fb"]


def test_a_list_goes_on_at_the_page_that_failed(make: Make) -> None:
    """After an error, the listing requests the same page again."""
    answers = iter([(200, "token"), (429, ""), (503, ""), (200, "")])

    def script(conversation: Conversation) -> None:
        status, token = next(answers)
        result = {"jobs": [{"jobId": f"g-{token}"}], "nextPageToken": token or None}
        conversation.answer(status, json.dumps({"status": "OK", "result": result}).encode())

    with Peer(script) as peer:
        listing = make(peer.url).pages_between(0, 1)
        assert next(listing) == [{"jobId": "g-token"}]
        for error in (Throttled, Unavailable):
            with pytest.raises(error):
                next(listing)
        assert list(listing) == [[{"jobId": "g-"}]]
    assert len(peer.requests) == 4
    assert all(b"pageToken=token" in request.split(b"\r\n")[0] for request in peer.requests[1:])


@pytest.mark.parametrize("result", [None, [], "text", {}, {"jobs": None}, {"jobs": {}}, 7])
def test_a_list_that_is_none_is_unavailable(make: Make, result: object) -> None:
    """An answer without a list raises Unavailable, since an empty list would mean that nothing was created."""
    body = json.dumps({"status": "OK", "result": result}).encode()
    with Peer(answering(200, body)) as peer, pytest.raises(Unavailable):
        listed(make(peer.url), 0, 1)


@pytest.mark.parametrize("result", [None, [], "text", {}, {"status": None}, {"status": 7}])
def test_an_answer_without_a_status_is_unavailable(make: Make, result: object) -> None:
    """An answer without a status raises Unavailable, for generations and models."""
    body = json.dumps({"status": "OK", "result": result}).encode()
    with Peer(answering(200, body)) as peer:
        client = make(peer.url)
        for call in (client.generation, client.model):
            with pytest.raises(Unavailable):
                call("x")


@pytest.mark.parametrize("result", [None, "queued", [], {}, {"jobId": None}, {"jobId": ""}])
def test_acceptance_without_an_id_is_uncertain(make: Make, result: object) -> None:
    """A trigger accepted without a generation id is not definite, since it may have been paid for."""
    body = json.dumps({"status": "OK", "result": result}).encode()
    with Peer(answering(200, body)) as peer, pytest.raises(Unavailable) as raised:
        make(peer.url).trigger(Kind.IMAGE, IMAGE)
    assert not raised.value.definite


def test_an_answer_about_another_generation(make: Make) -> None:
    """An answer with another generation's id raises Unavailable, so its images reach no wrong job."""
    body = json.dumps({"status": "OK", "result": {"jobId": "g-2", "status": "success", "images": [{"id": 1}]}}).encode()
    with Peer(answering(200, body)) as peer:
        client = make(peer.url)
        assert client.generation("g-2").images == ({"id": 1},)
        with pytest.raises(Unavailable, match="another generation"):
            client.generation("g-1")


@pytest.mark.parametrize(
    ("images", "kept"),
    [
        ("https://cdn.example/1.png", ({"value": "https://cdn.example/1.png"},)),
        (["https://cdn.example/1.png", 7], ({"value": "https://cdn.example/1.png"}, {"value": 7})),
        ({"url": "https://cdn.example/1.png"}, ({"url": "https://cdn.example/1.png"},)),
        (None, ()),
    ],
)
def test_outputs_that_are_no_records_are_kept(make: Make, images: object, kept: tuple[Any, ...]) -> None:
    """Outputs of an unexpected shape are kept, since they were paid for."""
    body = json.dumps({"status": "OK", "result": {"status": "success", "images": images}}).encode()
    with Peer(answering(200, body)) as peer:
        assert make(peer.url).generation("g-1").images == kept


def test_odd_records_pass(make: Make) -> None:
    """Images, videos and errors of an undocumented shape are passed through."""
    result = {"status": " Failed ", "images": [{"id": 1, "new": {}}, None, "x"], "videos": {}, "error": {"code": 7}}
    with Peer(answering(200, json.dumps({"result": result}).encode())) as peer:
        seen = make(peer.url).generation("g-1")
    assert (seen.status, seen.images, seen.videos, seen.error) == (
        "failed",
        ({"id": 1, "new": {}}, {"value": "x"}),
        (),
        '{"code": 7}',
    )


# -- broken connections --------------------------------------------------------------------------------------------


def test_nothing_listens(make: Make) -> None:
    """A refused connection is definite: nothing was sent."""
    with Peer(answering()) as gone:
        base = gone.url
    with pytest.raises(Unavailable) as raised:
        make(base).trigger(Kind.IMAGE, IMAGE)
    assert raised.value.definite


@pytest.mark.parametrize("script", [Conversation.reset, Conversation.silence], ids=["reset", "silence"])
def test_the_request_arrived_and_no_answer_came(make: Make, script: Script) -> None:
    """A request that was sent and got no answer is not definite, since it may have been paid for."""
    with Peer(script) as peer, pytest.raises(Unavailable) as raised:
        make(peer.url, api_read_timeout_s=0.3).trigger(Kind.IMAGE, IMAGE)
    assert not raised.value.definite


def test_a_certificate_that_is_refused_is_certain(make: Make, certificate: tuple[Path, Path]) -> None:
    """A refused certificate is definite: the request was not sent."""
    with Peer(answering(200, ACCEPTED), tls=server_tls(certificate)) as peer:
        with pytest.raises(Unavailable) as raised:
            make(peer.url).trigger(Kind.IMAGE, IMAGE)
        assert peer.requests == []
    assert raised.value.definite


def test_tls_that_breaks_after_the_request_is_not_certain(make: Make, certificate: tuple[Path, Path]) -> None:
    """A TLS error after the request is not definite, since the request may have arrived."""

    def script(conversation: Conversation) -> None:
        with socket.socket(fileno=os.dup(conversation.sock.fileno())) as raw:
            raw.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    with Peer(script, tls=server_tls(certificate)) as peer:
        client = make(peer.url, api_ca_file=certificate[0])
        with pytest.raises(Unavailable) as raised:
            client.trigger(Kind.IMAGE, IMAGE)
        assert len(peer.requests) == 1
    assert not raised.value.definite
