"""An S3 server in a process of its own: `moto`, over real HTTP, with its objects in memory."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler

import requests

from tests.serving import BurstServer
from tests.waiting import wait_until

BUCKET = "outputs"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}

SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"}
"""An owner's request; the server checks no signature."""


class S3Server:
    """A server on a loopback port with one bucket. It can be stopped and started again, and is then empty."""

    def __init__(self) -> None:
        """Start the server."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start the server, and make the bucket."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._makes_bucket, "the S3 server answers")

    def stop(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Let the server answer nothing, although it accepts connections."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the server go on."""
        self._process.send_signal(signal.SIGCONT)

    @property
    def env(self) -> dict[str, str]:
        """What a worker needs to use it."""
        return {"PHOTOGPT_OUTPUTS": f"s3://{BUCKET}/kept", "AWS_ENDPOINT_URL": self.url, **CREDENTIALS}

    def objects(self) -> dict[str, bytes]:
        """Return every object by its key below the worker's prefix."""
        listed = self._get("?list-type=2").text
        keys = re.findall(r"<Key>kept/([^<]+)</Key>", listed)
        return {key: self._get(f"/kept/{key}").content for key in keys}

    def unfinished(self) -> int:
        """Return the number of multipart uploads that are neither complete nor aborted."""
        return self._get("?uploads").text.count("<Upload>")

    def _get(self, path: str) -> requests.Response:
        answer = requests.get(f"{self.url}/{BUCKET}{path}", headers=SIGNED, timeout=10)
        answer.raise_for_status()
        return answer

    def _makes_bucket(self) -> bool:
        try:
            return requests.put(f"{self.url}/{BUCKET}", timeout=2).ok
        except requests.RequestException:
            return False


Answer = tuple[int, Mapping[str, str], str]
"""Status, headers and body."""

STORED: Answer = (200, {"ETag": '"x"'}, "")


def refusal(status: int, code: str, message: str) -> Answer:
    """Return an error of S3."""
    return status, {}, f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'


class PreparedS3:
    """A server on a loopback port that answers as S3 does where a bucket, a region or a right is wrong."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Start to listen; `answers` says what each method gets."""
        prepared = self
        self.answers: Mapping[str, Answer] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, headers, body = prepared.answers[self.command]
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def do_PUT(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_DELETE(self) -> None:
                self._answer()

            def log_message(self, *_: object) -> None:
                pass

        self._server = BurstServer(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
