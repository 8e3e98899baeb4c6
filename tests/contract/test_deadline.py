"""Calls that end, whatever the other side does."""

from __future__ import annotations

import gzip
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.contract.peers import Conversation, Peer, Script, answering, headers_of, server_tls
from tests.waiting import wait_until
from worker.http.deadline import (
    AnswerTooLarge,
    BoundedAdapter,
    DeadlineExceeded,
    bounded_session,
    call_within,
    read_bounded,
)

DEADLINE_S = 0.4
LIMIT = 10_000
LENGTH = 200
START = b"HTTP/1.1 200 OK\r\n"
HEAD = START + b"Content-Length: 200\r\n\r\n"


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A session as both clients use it."""
    adapter = BoundedAdapter(max_retries=0)
    with bounded_session({"http://": adapter, "https://": adapter}) as opened:
        yield opened


def fetch(
    session: requests.Session, url: str, *, deadline: float = DEADLINE_S, limit: int = LIMIT
) -> tuple[int, bytes]:
    """Call as PhotoGPT's client does."""
    with call_within(deadline):
        response = session.get(url, timeout=(5, 5), stream=True, allow_redirects=False)
        return response.status_code, read_bounded(response, limit)


def drips(head: bytes, slow: bytes) -> Script:
    """Every byte comes in time, the answer never."""

    def script(conversation: Conversation) -> None:
        conversation.say(head)
        conversation.drip(slow)
        conversation.sock.close()

    return script


def silent_after(head: bytes) -> Script:
    """Begin, and then say nothing more."""

    def script(conversation: Conversation) -> None:
        conversation.say(head)
        conversation.silence()

    return script


BODY = b"x" * LENGTH
CHUNKS = b"1\r\nx\r\n" * LENGTH
SLOW: dict[str, Script] = {
    "never answering": Conversation.silence,
    "dripped headers": drips(START, b"X-Filler: " + BODY),
    "dripped body": drips(HEAD, BODY),
    "dripped chunks": drips(START + b"Transfer-Encoding: chunked\r\n\r\n", CHUNKS),
    "dripped body without a length": drips(START + b"\r\n", BODY),
    "dripped body of a last answer": drips(START + b"Connection: close\r\nContent-Length: 200\r\n\r\n", BODY),
    "dripped body of HTTP/1.0": drips(b"HTTP/1.0 200 OK\r\n\r\n", BODY),
    "silent after half a body": silent_after(HEAD + b"x" * 100),
    "silent after a head without a length": silent_after(START + b"\r\n"),
}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
def test_a_slow_peer_is_left_in_time(
    session: requests.Session, script: Script, certificate: tuple[Path, Path], *, tls: bool
) -> None:
    """The time between two bytes stays below the read timeout, yet the call ends before the peer does."""
    session.verify = str(certificate[0])
    with Peer(script, tls=server_tls(certificate) if tls else None) as peer:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.4 s"):
            fetch(session, peer.url)
        wait_until(lambda: peer.conversations[0].left, "the peer sees that nobody listens", within=2)


def test_many_slow_calls_end_together(session: requests.Session) -> None:
    """One thread watches over all of them."""
    with Peer(drips(START, BODY)) as peer, ThreadPoolExecutor(8) as pool:
        ends = [pool.submit(fetch, session, peer.url) for _ in range(8)]
        assert {type(end.exception()) for end in ends} == {DeadlineExceeded}
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("http-deadlines") == 1


def test_a_slow_call_does_not_end_its_neighbour(session: requests.Session) -> None:
    """Deadlines are per call, not per session."""

    def script(conversation: Conversation) -> None:
        if b"slow" in peer.requests[-1]:
            conversation.silence()
        else:
            conversation.answer(200, b"ok")

    with Peer(script) as peer, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(fetch, session, f"{peer.url}/slow")
        wait_until(lambda: peer.requests, "the slow call is under way")
        assert fetch(session, f"{peer.url}/fast", deadline=30) == (200, b"ok")
        assert isinstance(slow.exception(), DeadlineExceeded)


def test_a_kept_alive_connection_is_bounded_too(session: requests.Session) -> None:
    """The second call on it has a deadline of its own."""

    def script(conversation: Conversation) -> None:
        if len(peer.requests) == 1:
            conversation.answer(200, b"ok")
        else:
            conversation.silence()

    with Peer(script) as peer:
        fetch(session, peer.url)
        with pytest.raises(DeadlineExceeded):
            fetch(session, peer.url)
        assert len(peer.conversations) == 1


def test_after_a_deadline_the_session_goes_on(session: requests.Session) -> None:
    """On a fresh connection: the old one may still bring the other answer."""

    def script(conversation: Conversation) -> None:
        if len(peer.requests) == 1:
            conversation.silence()
        else:
            conversation.answer(200, b"second")

    with Peer(script) as peer:
        with pytest.raises(DeadlineExceeded):
            fetch(session, peer.url)
        assert fetch(session, peer.url) == (200, b"second")
        assert len(peer.conversations) == 2


def test_connections_are_kept(session: requests.Session) -> None:
    """Over many calls, also those without a body."""
    with Peer(answering(200, b"ok")) as peer:
        assert [fetch(session, peer.url) for _ in range(5)] == [(200, b"ok")] * 5
        assert len(peer.conversations) == 1


def test_the_limit_itself_is_allowed(session: requests.Session) -> None:
    """One byte more is too much."""
    with Peer(answering(200, b"x" * LIMIT)) as peer:
        assert len(fetch(session, peer.url)[1]) == LIMIT
        with pytest.raises(AnswerTooLarge):
            fetch(session, peer.url, limit=LIMIT - 1)


def endless(conversation: Conversation) -> None:
    """A body without an end."""
    conversation.say(b"HTTP/1.1 200 OK\r\n\r\n")
    while not conversation.over.is_set():
        conversation.say(b"x" * 65536)


def test_an_endless_body_is_cut(session: requests.Session) -> None:
    """Neither memory nor time grow with it."""
    with Peer(endless) as peer, pytest.raises(AnswerTooLarge):
        fetch(session, peer.url, deadline=10)


def test_a_gzip_bomb_does_not_go_off(session: requests.Session) -> None:
    """Sixty megabytes in sixty kilobytes: the limit counts what comes out, and no more is unpacked."""
    bomb = gzip.compress(b"\0" * 60_000_000)
    with Peer(answering(200, bomb, "Content-Encoding: gzip")) as peer:
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge):
                fetch(session, peer.url, deadline=10, limit=100_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 10_000_000


def test_an_encoded_answer_is_read(session: requests.Session) -> None:
    """PhotoGPT may compress."""
    with Peer(answering(200, gzip.compress(b"plain"), "Content-Encoding: gzip")) as peer:
        assert fetch(session, peer.url) == (200, b"plain")


def half_a_body(conversation: Conversation) -> None:
    """Promise 200 bytes, send 100, close."""
    conversation.say(HEAD + b"x" * 100)
    conversation.sock.close()


def half_a_chunk(conversation: Conversation) -> None:
    """A chunked body that breaks off."""
    conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc")
    conversation.sock.close()


def bad_gzip(conversation: Conversation) -> None:
    """Bytes that are not what the header says."""
    conversation.answer(200, b"no gzip at all", "Content-Encoding: gzip")


def no_http(conversation: Conversation) -> None:
    """Another protocol answers."""
    conversation.say(b"SSH-2.0-OpenSSH_9.2\r\n")
    conversation.sock.close()


def hangs_up(conversation: Conversation) -> None:
    """The request is read, no answer comes."""
    conversation.sock.close()


def too_many_headers(conversation: Conversation) -> None:
    """More than http.client reads."""
    conversation.answer(200, b"", *(f"X-{number}: x" for number in range(500)))


BROKEN: dict[str, Script] = {
    "half a body": half_a_body,
    "half a chunk": half_a_chunk,
    "bad gzip": bad_gzip,
    "reset": Conversation.reset,
    "no HTTP": no_http,
    "hangs up": hangs_up,
    "too many headers": too_many_headers,
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_a_request_exception(session: requests.Session, script: Script) -> None:
    """One class to catch; half an answer is none."""
    with Peer(script) as peer, pytest.raises(requests.RequestException):
        fetch(session, peer.url, deadline=10)


def test_nothing_is_repeated(session: requests.Session) -> None:
    """A trigger that is sent twice is paid twice, and GET /train is a trigger."""
    with Peer(hangs_up) as peer:
        with pytest.raises(requests.ConnectionError):
            fetch(session, peer.url)
        with pytest.raises(requests.ConnectionError):
            session.post(peer.url, data=b"x", timeout=5)
        assert len(peer.requests) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(session: requests.Session, status: int) -> None:
    """The other server hears nothing."""
    with Peer(answering()) as other, Peer(answering(status, b"moved", f"Location: {other.url}/")) as peer:
        assert fetch(session, peer.url) == (status, b"moved")
        assert other.conversations == []


def huge_redirect(conversation: Conversation) -> None:
    """A redirect with forty megabytes of body."""
    conversation.say(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 40000000\r\n\r\n")
    for _ in range(40):
        conversation.say(b"x" * 1_000_000)


def test_the_body_of_a_redirect_is_limited_too(session: requests.Session) -> None:
    """`requests` reads it whole to look at the next address, even if it must not follow."""
    with Peer(huge_redirect) as peer:
        with pytest.raises(AnswerTooLarge):
            fetch(session, peer.url, deadline=30)
        wait_until(lambda: peer.conversations[0].left, "the peer sees that nobody listens", within=2)


def test_the_environment_is_not_asked(
    session: requests.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No proxy gets the key, no .netrc adds a password."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login planted password hunter2\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with Peer(answering(200, b"proxy")) as proxy, Peer(answering(200, b"right")) as peer:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.lower(), proxy.url)
        assert fetch(session, peer.url) == (200, b"right")
        assert proxy.conversations == []
        assert "authorization" not in headers_of(peer.requests[0])


def test_cookies_are_not_kept(session: requests.Session) -> None:
    """Calls have nothing in common."""
    with Peer(answering(200, b"", "Set-Cookie: a=1; Path=/")) as peer:
        for _ in range(2):
            fetch(session, peer.url)
        assert "cookie" not in headers_of(peer.requests[1])
        assert len(session.cookies) == 0


def test_a_call_that_is_over_leaves_nothing_behind(session: requests.Session) -> None:
    """No deadline of an earlier call hits a later one on the same connection."""

    def script(conversation: Conversation) -> None:
        if len(peer.requests) == 2:
            conversation.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        else:
            conversation.answer(200, b"ok")

    with Peer(script) as peer:
        fetch(session, peer.url, deadline=0.3)
        assert fetch(session, peer.url, deadline=30) == (200, b"ok")
        assert len(peer.conversations) == 1
