"""Downloads one file of PhotoGPT: guarded addresses, redirects one by one, whole or not at all.

A large file may take long, so no deadline holds for the whole download: it has to make progress. The API key goes to
the API's own host only, and only if that host asks for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, ReadTimeoutError

from worker import __version__
from worker.domain.errors import FileError
from worker.domain.media_end import EndCheck
from worker.domain.media_type import MIN_BYTES, UNKNOWN, MediaType, media_type, what_is_wrong
from worker.http.adapter import REDIRECTS, BoundedAdapter, bounded_session
from worker.http.deadline import Call, call_within
from worker.http.errors import root_cause, unknown_authority_hint
from worker.http.guard import AddressRefused, GuardedAdapter, ProxiedAdapter
from worker.outputs.interruption import Stopped
from worker.outputs.pace import Pace

if TYPE_CHECKING:
    from config.settings import Settings

MAX_REDIRECTS = 5
EXPIRED = frozenset({401, 403, 404, 410})
"""Codes after which a fresh URL may help."""

DECODED = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
"""Values of Content-Encoding that are undone, although none was asked for. With another, only what is known by its
first bytes is stored: some hosts name an encoding that they do not use."""

STALLED = (requests.exceptions.ReadTimeout, ReadTimeoutError, TimeoutError)
MAX_ATTEMPTS_IF_TOO_LARGE = 3  # each may transfer PHOTOGPT_OUTPUTS_MAX_BYTES
NO_HEADERS: Mapping[str, str] = {}
PIECE_BYTES = 1 << 18
PORTS = (80, 443)
CONNECTIONS = 8  # kept alive for each host


@dataclass
class Download:
    """A file that is being downloaded. `parts` yields its bytes; afterwards, size and hash are known."""

    source_url: str
    is_video: bool
    media: MediaType
    _answer: requests.Response
    _pace: Pace
    _first: bytes
    _limit: int
    _stopping: threading.Event
    size: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)
    _end: EndCheck = field(init=False)

    def __post_init__(self) -> None:
        """Follow the file to its end by its type."""
        self._end = EndCheck(self.media)

    @property
    def sha256(self) -> str:
        """The hash of what was read so far, in hexadecimal."""
        return str(self._hash.hexdigest())

    def parts(self) -> Iterator[bytes]:
        """Yield the bytes of the file.

        Raises:
            FileError: the file is incomplete or too large, or no more of it comes.
            Stopped: the worker stops.
        """
        with _explained(self._pace.call):
            piece = self._first
            while piece:
                self._check(piece)
                yield piece
                piece = self._pace.read(self._answer, PIECE_BYTES)
        if not _says_length(self._answer.headers) and self._end.is_cut:
            raise FileError(f"the download ended after {self.size} bytes, before the end of the file")

    def _check(self, piece: bytes) -> None:
        if self._stopping.is_set():
            raise Stopped
        self.size += len(piece)
        self._hash.update(piece)
        self._end.feed(piece)
        if self.size > self._limit:
            message = f"the file is larger than PHOTOGPT_OUTPUTS_MAX_BYTES ({self._limit} bytes)"
            raise FileError(message, max_attempts=MAX_ATTEMPTS_IF_TOO_LARGE)


class Downloader:
    """Downloads files over kept-alive, guarded connections."""

    def __init__(self, settings: Settings, stopping: threading.Event) -> None:
        """Take limits and allowed networks from the settings; no download goes on once `stopping` is set."""
        self._limit = settings.outputs_max_bytes
        self._stall_s = settings.outputs_stall_s
        self._timeout = (settings.api_connect_timeout_s, settings.outputs_stall_s)
        self._stopping = stopping
        parts = urlsplit(settings.base_url)
        self._api = f"{parts.scheme}://{parts.netloc}/"
        self._key = settings.api_key.get_secret_value() if settings.api_key else None
        proxy = settings.api_proxy_url.get_secret_value() if settings.api_proxy_url else None
        self._proxies = {"http": proxy, "https": proxy} if proxy else None
        adapters = {f"{scheme}://": _adapter(scheme, settings) for scheme in ("https", "http")}
        own = BoundedAdapter(ca_file=settings.api_ca_file, connections=CONNECTIONS)
        self._session = bounded_session({**adapters, self._api: own})

    @contextlib.contextmanager
    def open(self, url: str, *, is_video: bool) -> Iterator[Download]:
        """Open a file and read its first bytes, which decide what it is.

        Args:
            url: from PhotoGPT's record.
            is_video: a video is expected.

        Raises:
            FileError: it cannot be downloaded, or it is no picture or video.
        """
        with _paced(self._stall_s) as call:
            with _explained(call, proxied=self._proxies is not None):
                answer = self._final_answer(url)
            try:
                yield self._opened(answer, call, is_video=is_video)
            finally:
                answer.close()

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _opened(self, answer: requests.Response, call: Call, *, is_video: bool) -> Download:
        pace, first = Pace(call, self._stall_s), b""
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > self._limit:
            message = f"the file has {length} bytes, more than PHOTOGPT_OUTPUTS_MAX_BYTES ({self._limit})"
            raise FileError(message, max_attempts=MAX_ATTEMPTS_IF_TOO_LARGE)
        with _explained(call):
            while len(first) < MIN_BYTES and (piece := pace.read(answer, PIECE_BYTES)):
                first += piece
        found, encoding = media_type(first), answer.headers.get("Content-Encoding", "").strip().lower()
        if found is UNKNOWN and encoding not in DECODED:
            raise FileError(f"{_host(answer.url)} sent a Content-Encoding that was not asked for: {encoding[:40]}")
        if problem := what_is_wrong(first[:MIN_BYTES], is_video=is_video):
            raise FileError(f"what {_host(answer.url)} sent {problem}", expired=True)
        return Download(str(answer.url), is_video, found, answer, pace, first, self._limit, self._stopping)

    def _final_answer(self, url: str) -> requests.Response:
        """Follow redirects, each under the guard, and return the first other answer.

        Raises:
            FileError: it is an error, or there are too many redirects.
        """
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._get(url)
            if answer.status_code not in REDIRECTS:
                return _successful(answer)
            answer.close()
            followed = urljoin(url, _as_utf8(answer.headers.get("Location", "")))
            if urlsplit(followed).scheme not in {"http", "https"} or (_is_secure(url) and not _is_secure(followed)):
                raise FileError(f"{_host(url)} redirects to an address that is not https://")
            url = followed
        raise FileError(f"{_host(url)} redirects more than {MAX_REDIRECTS} times")

    def _get(self, url: str) -> requests.Response:
        """Request a URL; with the API key only if it is the API's own host that asks for it."""
        answer = self._send(url)
        if answer.status_code == 401 and self._key and url.startswith(self._api):
            answer.close()
            answer = self._send(url, {"Authorization": f"Bearer {self._key}", "API-Version": "1"})
        return answer

    def _send(self, url: str, headers: Mapping[str, str] = NO_HEADERS) -> requests.Response:
        """Send a request; not with session.get, which prepares each from scratch and takes more CPU than the rest."""
        request = copy(self._template)
        request.headers = CaseInsensitiveDict({**self._template.headers, **headers})
        request.prepare_url(url, None)
        adapter = self._session.get_adapter(str(request.url))
        return adapter.send(request, stream=True, timeout=self._timeout, verify=True, proxies=self._proxies)

    @cached_property
    def _template(self) -> requests.PreparedRequest:
        """The parts that all requests share."""
        headers = {"User-Agent": f"photogpt-worker/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
        return self._session.prepare_request(requests.Request("GET", self._api, headers=headers))


def _adapter(scheme: str, settings: Settings) -> BoundedAdapter:
    allow, ca_file = settings.outputs_allow_networks, settings.api_ca_file
    if settings.api_proxy_url is not None:
        return ProxiedAdapter(PORTS, allow, pool_size=CONNECTIONS, ca_file=ca_file)
    return GuardedAdapter(scheme, allow, ports=PORTS, pool_size=CONNECTIONS, ca_file=ca_file)


@contextlib.contextmanager
def _paced(stall_s: float) -> Iterator[Call]:
    """Bound the calls of this thread by their progress, which `Pace` reports."""
    with call_within(stall_s) as call:
        yield call
        call.answered = True  # the body has been read, or its error is raised already


def _successful(answer: requests.Response) -> requests.Response:
    is_part = answer.status_code == 206 and not _is_whole(answer.headers.get("Content-Range", ""))
    if 200 <= answer.status_code < 300 and not is_part:
        return answer
    answer.close()
    raise FileError(
        f"{_host(answer.url)} answered {answer.status_code}{', with a part of the file' if is_part else ''}",
        status=answer.status_code,
        expired=answer.status_code in EXPIRED,
    )


@contextlib.contextmanager
def _explained(call: Call, *, proxied: bool = False) -> Iterator[None]:
    """Turn errors of the connection into `FileError`."""
    try:
        yield
    except AddressRefused as error:
        hint = "" if proxied else "; if that host is yours, add its network to PHOTOGPT_OUTPUTS_ALLOW_NETWORKS"
        raise FileError(f"{root_cause(error)}{hint}", expired=True) from error
    except requests.exceptions.SSLError as error:
        hint = unknown_authority_hint(error, "PHOTOGPT_API_CA_FILE")
        raise FileError(f"TLS failed: {root_cause(error)}{hint}") from error
    except (OSError, ValueError, HTTPError, HTTPException) as error:
        if call.expired or isinstance(error, STALLED):
            raise FileError("the download made no progress") from error
        raise FileError(f"the download broke: {_broken(error)}") from error


def _is_whole(content_range: str) -> bool:
    """Whether the range of a 206 is the whole file: `bytes 0-99/100`."""
    found = re.fullmatch(r"bytes 0-(\d+)/(\d+)", content_range.strip(), re.IGNORECASE | re.ASCII)
    return found is not None and int(found[1]) + 1 == int(found[2])


def _says_length(headers: Mapping[str, str]) -> bool:
    """Whether HTTP shows where the file ends. What is compressed may be cut although its body is complete."""
    encoded = headers.get("Content-Encoding", "").strip().lower() not in {"", "identity"}
    return not encoded and ("Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower())


def _as_utf8(header: str) -> str:
    """Return a header as UTF-8 if it is that; `http.client` reads all as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _broken(error: Exception) -> str:
    """Return why a download broke."""
    lost = next((each for each in error.args if isinstance(each, IncompleteRead)), None)
    if lost is None:
        return root_cause(error)
    partial: Any = lost.partial  # bytes in http.client, and their number in urllib3
    received = partial if isinstance(partial, int) else len(partial)
    return f"it ended after {received} of {received + lost.expected} bytes" if lost.expected else "it ended too early"


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the host"


def _is_secure(url: str) -> bool:
    return urlsplit(url).scheme == "https"
