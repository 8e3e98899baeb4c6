"""Downloads over real sockets: proxies, redirects, and hosts that are refused."""

from __future__ import annotations

import hashlib
import ipaddress
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from config.settings import Settings
from tests.serving import serving
from worker.domain.errors import FileError
from worker.outputs.download import Downloader
from worker.outputs.interruption import Stopped

PNG = b"\x89PNG\r\n\x1a\n" + bytes(5000) + b"\x00\x00\x00\x00IEND\xaeB`\x82"


class Host:
    """A host of files; also a proxy, since it answers whatever it is asked for."""

    def __init__(self) -> None:
        """Prepare; `host` serves it."""
        host = self
        self.url = ""
        #: The paths of the requests, with their Authorization header.
        self.asked: list[tuple[str, str | None]] = []
        #: Where a path redirects to.
        self.redirects: dict[str, str] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.asked.append((self.path, self.headers.get("Authorization")))
                target = host.redirects.get(self.path)
                self.send_response(302 if target is not None else 200)
                if target:
                    self.send_header("Location", target)
                self.send_header("Content-Length", str(len(PNG) if target is None else 0))
                self.end_headers()
                if target is None:
                    self.wfile.write(PNG)

        self.handler = Handler


@pytest.fixture
def host() -> Iterator[Host]:
    """A host of files."""
    prepared = Host()
    with serving(prepared.handler) as prepared.url:
        yield prepared


def downloaded(url: str, stopping: threading.Event | None = None, **settings: Any) -> bytes:
    """Download a file as a worker with these settings does."""
    defaults: dict[str, Any] = {"base_url": "http://127.0.0.1:1/api", "api_key": "key", "outputs_stall_s": 2}
    downloader = Downloader(Settings(_env_file=None, **defaults | settings), stopping or threading.Event())
    try:
        with downloader.open(url, is_video=False) as download:
            content = b"".join(download.parts())
            assert download.size == len(content)
            assert download.sha256 == hashlib.sha256(content).hexdigest()
            return content
    finally:
        downloader.close()


LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


def test_a_private_host_needs_the_setting(host: Host) -> None:
    """A file on a loopback address is refused without connecting, and downloaded once its network is allowed."""
    with pytest.raises(FileError, match="PHOTOGPT_OUTPUTS_ALLOW_NETWORKS"):
        downloaded(f"{host.url}/1.png")
    assert host.asked == []
    assert downloaded(f"{host.url}/1.png", outputs_allow_networks=LOOPBACK) == PNG
    assert host.asked == [("/1.png", None)]


def test_the_host_of_the_api_is_allowed(host: Host) -> None:
    """Files on the API's own host need no setting, and another port of it does."""
    assert downloaded(f"{host.url}/1.png", base_url=f"{host.url}/api") == PNG
    with pytest.raises(FileError, match="PHOTOGPT_OUTPUTS_ALLOW_NETWORKS"):
        downloaded("http://127.0.0.1:9/1.png", base_url=f"{host.url}/api")


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("http://169.254.169.254/latest", "not public"),
        ("http://10.0.0.1/1.png", "not public"),
        ("http://[::ffff:10.0.0.1]/1.png", "not public"),
        ("file:///etc/passwd", "not https"),
        ("/1.png", "redirects more than 5 times"),
        ("", "redirects more than 5 times"),
    ],
)
def test_redirects_that_are_refused(host: Host, target: str, problem: str) -> None:
    """Each redirect passes the guard, also one from the API's own host, and they come to an end."""
    host.redirects["/1.png"] = target
    with pytest.raises(FileError, match=problem):
        downloaded(f"{host.url}/1.png", base_url=f"{host.url}/api")


def test_a_redirect_is_followed(host: Host) -> None:
    """A relative redirect on the same host leads to the file."""
    host.redirects["/old.png"] = "new.png"
    assert downloaded(f"{host.url}/old.png", base_url=f"{host.url}/api") == PNG
    assert [path for path, _ in host.asked] == ["/old.png", "/new.png"]


def test_a_proxy(host: Host) -> None:
    """With PHOTOGPT_API_PROXY_URL the proxy is asked for the file; private addresses are refused before that."""
    assert downloaded("http://cdn.example/1.png", api_proxy_url=host.url) == PNG
    assert host.asked == [("http://cdn.example/1.png", None)]
    with pytest.raises(FileError, match="not a public address"):
        downloaded("http://10.0.0.1/1.png", api_proxy_url=host.url)


def test_a_worker_that_stops(host: Host) -> None:
    """Once the worker stops, no further byte is taken."""
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Stopped):
        downloaded(f"{host.url}/1.png", stopping, base_url=f"{host.url}/api")


@pytest.mark.parametrize("url", ["http://", "http://[", "http://a b/", "ftp://x/1.png", "http://256.256.256.256/"])
def test_urls_that_cannot_be_used(url: str) -> None:
    """A URL that no connection can be made for is an error of the file, never an exception of a library."""
    with pytest.raises(FileError):
        downloaded(url)
