"""HTTP calls end by their deadline, whatever the peer does."""

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
from worker.http.adapter import BoundedAdapter, bounded_session
from worker.http.deadline import Call, call_within, read_bounded
from worker.http.errors import AnswerTooLarge, DeadlineExceeded

DEADLINE_S = 0.4
LIMIT = 10_000
LENGTH = 200
START = b"HTTP/1.1 200 OK\r\n"
HEAD = START + b"Content-Length: 200\r\n\r\n"


@pytest.fixture
def session(certificate: tuple[Path, Path]) -> Iterator[requests.Session]:
    """Open a session as both clients use it, which trusts the certificate of the tests."""
    adapter = BoundedAdapter(ca_file=certificate[0])
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
    """Send a head at once and the remainder byte by byte."""

    def script(conversation: Conversation) -> None:
        conversation.say(head)
        conversation.drip(slow)
        conversation.sock.close()

    return script


def silent_after(head: bytes) -> Script:
    """Send the head and nothing more."""

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
def test_a_slow_peer_is_left_at_the_deadline(
    session: requests.Session, script: Script, certificate: tuple[Path, Path], *, tls: bool
) -> None:
    """A call to a slow peer ends at its deadline, although every byte arrives within the read timeout."""
    with Peer(script, tls=server_tls(certificate) if tls else None) as peer:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.4 s"):
            fetch(session, peer.url)
        wait_until(lambda: peer.conversations[0].left, "the peer sees that the client has gone", within=2)


def test_many_slow_calls_end_together(session: requests.Session) -> None:
    """Many slow calls end at their deadlines, watched by one thread."""
    with Peer(drips(START, BODY)) as peer, ThreadPoolExecutor(8) as pool:
        ends = [pool.submit(fetch, session, peer.url) for _ in range(8)]
        assert {type(end.exception()) for end in ends} == {DeadlineExceeded}
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("http-deadlines") == 1


def test_a_slow_call_does_not_end_another_call(session: requests.Session) -> None:
    """A call past its deadline does not end another call of the same session."""

    def script(conversation: Conversation) -> None:
        if b"slow" in peer.requests[-1]:
            conversation.silence()
        else:
            conversation.answer(200, b"ok")

    with Peer(script) as peer, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(fetch, session, f"{peer.url}/slow")
        wait_until(lambda: peer.requests, "the slow call has started")
        assert fetch(session, f"{peer.url}/fast", deadline=30) == (200, b"ok")
        assert isinstance(slow.exception(), DeadlineExceeded)


def test_a_call_does_not_return_while_it_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call past its deadline returns after its connection is shut down, so that no later user of it is cut off."""
    aborting, go_on, returned = threading.Event(), threading.Event(), threading.Event()

    def abort(call: Call) -> None:
        del call
        aborting.set()
        go_on.wait(5)

    def run() -> None:
        with call_within(0):
            aborting.wait(5)
        returned.set()

    monkeypatch.setattr(Call, "abort", abort)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert aborting.wait(5)
        assert not returned.wait(0.1)
    finally:
        go_on.set()
        thread.join()
    assert returned.is_set()


def test_a_kept_alive_connection_is_bounded_too(session: requests.Session) -> None:
    """The second call on a kept-alive connection has its own deadline."""

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
    """After a deadline, the session continues on a new connection."""

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
    """Consecutive calls use one connection."""
    with Peer(answering(200, b"ok")) as peer:
        assert [fetch(session, peer.url) for _ in range(5)] == [(200, b"ok")] * 5
        assert len(peer.conversations) == 1


def test_the_limit_itself_is_allowed(session: requests.Session) -> None:
    """An answer of exactly the size limit is read, and one byte more is refused."""
    with Peer(answering(200, b"x" * LIMIT)) as peer:
        assert len(fetch(session, peer.url)[1]) == LIMIT
        with pytest.raises(AnswerTooLarge):
            fetch(session, peer.url, limit=LIMIT - 1)


def endless(conversation: Conversation) -> None:
    """Send a body without an end."""
    conversation.say(b"HTTP/1.1 200 OK\r\n\r\n")
    while not conversation.over.is_set():
        conversation.say(b"x" * 65536)


def test_an_endless_body_is_cut(session: requests.Session) -> None:
    """An endless body is refused at the size limit."""
    with Peer(endless) as peer, pytest.raises(AnswerTooLarge):
        fetch(session, peer.url, deadline=10)


def test_a_gzip_bomb_is_refused(session: requests.Session) -> None:
    """A small body that decompresses to 60 MB is refused without decompressing it all."""
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
    """A compressed answer is decompressed."""
    with Peer(answering(200, gzip.compress(b"plain"), "Content-Encoding: gzip")) as peer:
        assert fetch(session, peer.url) == (200, b"plain")


def half_a_body(conversation: Conversation) -> None:
    """Announce 200 bytes, send 100, close."""
    conversation.say(HEAD + b"x" * 100)
    conversation.sock.close()


def half_a_chunk(conversation: Conversation) -> None:
    """Close within a chunk."""
    conversation.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc")
    conversation.sock.close()


def bad_gzip(conversation: Conversation) -> None:
    """Send bytes that are not gzip under a gzip header."""
    conversation.answer(200, b"no gzip at all", "Content-Encoding: gzip")


def no_http(conversation: Conversation) -> None:
    """Answer in another protocol."""
    conversation.say(b"SSH-2.0-OpenSSH_9.2\r\n")
    conversation.sock.close()


def hangs_up(conversation: Conversation) -> None:
    """Read the request and close."""
    conversation.sock.close()


def too_many_headers(conversation: Conversation) -> None:
    """Send more headers than http.client accepts."""
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
    """Every broken answer raises a RequestException."""
    with Peer(script) as peer, pytest.raises(requests.RequestException):
        fetch(session, peer.url, deadline=10)


def test_nothing_is_repeated(session: requests.Session) -> None:
    """A failed request is not repeated, neither GET nor POST."""
    with Peer(hangs_up) as peer:
        with pytest.raises(requests.ConnectionError):
            fetch(session, peer.url)
        with pytest.raises(requests.ConnectionError):
            session.post(peer.url, data=b"x", timeout=5)
        assert len(peer.requests) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(session: requests.Session, status: int) -> None:
    """A redirect is returned and not followed."""
    with Peer(answering()) as other, Peer(answering(status, b"moved", f"Location: {other.url}/")) as peer:
        assert fetch(session, peer.url) == (status, b"moved")
        assert other.conversations == []


def huge_redirect(conversation: Conversation) -> None:
    """Send a redirect with a body of 40 MB."""
    conversation.say(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 40000000\r\n\r\n")
    for _ in range(40):
        conversation.say(b"x" * 1_000_000)


def test_the_body_of_a_redirect_is_limited_too(session: requests.Session) -> None:
    """The body of a redirect is subject to the size limit."""
    with Peer(huge_redirect) as peer:
        with pytest.raises(AnswerTooLarge):
            fetch(session, peer.url, deadline=30)
        wait_until(lambda: peer.conversations[0].left, "the peer sees that the client has gone", within=2)


def test_the_environment_is_ignored(session: requests.Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Proxy variables and .netrc of the environment are ignored."""
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
    """A cookie is not sent with the next call."""
    with Peer(answering(200, b"", "Set-Cookie: a=1; Path=/")) as peer:
        for _ in range(2):
            fetch(session, peer.url)
        assert "cookie" not in headers_of(peer.requests[1])
        assert len(session.cookies) == 0


def test_a_finished_call_does_not_abort_a_later_one(session: requests.Session) -> None:
    """The deadline of a finished call does not abort a later call on the same connection."""

    def script(conversation: Conversation) -> None:
        if len(peer.requests) == 2:
            conversation.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        else:
            conversation.answer(200, b"ok")

    with Peer(script) as peer:
        fetch(session, peer.url, deadline=0.3)
        assert fetch(session, peer.url, deadline=30) == (200, b"ok")
        assert len(peer.conversations) == 1
