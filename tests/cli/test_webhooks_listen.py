"""`photogpt-worker webhooks listen`: a receiver in a terminal."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.secrets import new_webhook_secret, public_key, signing_key
from config.settings import Settings
from tests.cli.commands import Running
from tests.cli.conftest import Invoke
from tests.running import WEBHOOK_SECRET
from tests.waiting import wait_until
from worker.cli.local.processes import free_port
from worker.cli.local.receiver import LARGEST_BODY, Arrival, VerifyingReceiver
from worker.cli.webhooks.sample_event import sample_delivery
from worker.domain.errors import DeliveryError
from worker.webhooks.sender import WebhookSender

OTHER_SECRET = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC1vdGhlcg=="

Listen = Callable[..., "Listening"]


class Listening(Running):
    """The command, and where it listens."""

    @property
    def url(self) -> str:
        """Where it says that it listens."""
        found = re.search(r"Listening on (\S+);", self.says("Ctrl-C ends it"))
        assert found
        return found[1]

    def records(self) -> list[dict[str, Any]]:
        """What it printed as JSON."""
        return [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Start the command on a free port."""
    started: list[Listening] = []

    def start(*argv: str, **env: str) -> Listening:
        log = tmp_path / f"listen-{len(started)}.log"
        started.append(Listening(log, {"PHOTOGPT_WEBHOOK_SECRETS": "", **env}, "webhooks", "listen", "--port=0", *argv))
        return started[-1]

    yield start
    for each in started:
        each.child.stop()


def send(url: str, secrets: str = WEBHOOK_SECRET, *, event: str = "job.succeeded", times: int = 1) -> list[int]:
    """Send one event so often, as a worker would, and return what was answered."""
    settings: dict[str, Any] = {"webhook_allow_networks": "127.0.0.0/8,::1/128", "webhook_secrets": secrets}
    sender = WebhookSender(Settings(**{"_env_file": None} | settings))
    delivery, answered = sample_delivery(url, event, at=time.time()), []
    try:
        for _ in range(times):
            try:
                answered.append(sender.send(delivery, at=time.time()).status)
            except DeliveryError as error:
                answered.append(error.status or 0)
    finally:
        sender.close()
    return answered


def test_a_secret_is_made_and_ctrl_c_ends_it(listen: Listen) -> None:
    """Without any secret, the line to export is printed, and what is signed with it fits."""
    listening = listen()
    made = re.search(r"export PHOTOGPT_WEBHOOK_SECRETS=(\S+)", listening.says("PHOTOGPT_WEBHOOK_ALLOW_NETWORKS"))
    assert made
    assert send(listening.url, made[1], event="model.failed") == [204]
    listening.says("model.failed")
    assert listening.signalled(signal.SIGINT) == 0
    assert "1 events verified, 0 requests refused" in listening.text()


def test_the_settings_secret_is_used_and_not_shown(listen: Listen) -> None:
    """It verifies with what the workers sign with; what does not fit is refused with the reason."""
    listening = listen("--count", "1", PHOTOGPT_WEBHOOK_SECRETS=f"{WEBHOOK_SECRET},{OTHER_SECRET}")
    url = listening.url
    assert requests.post(url, data=b"{}", timeout=10).status_code == 400
    assert send(url, "") == [400]
    assert send(url, "whsec_" + "YQ" * 20) == [400]
    assert send(url, OTHER_SECRET) == [204]
    wait_until(lambda: listening.child.exit_code is not None, "the count is reached")
    assert listening.child.stop() == 0
    shown = listening.text()
    assert shown.count("refused  ") == 3
    for words in ("it is no webhook", "it is not signed", "PHOTOGPT_WEBHOOK_SECRETS are others", "job.succeeded"):
        assert words in shown
    assert WEBHOOK_SECRET not in shown


def test_retries_can_be_watched(listen: Listen) -> None:
    """The answer is given so often for each event, then 204; what comes again is marked."""
    listening = listen("--secret", WEBHOOK_SECRET, "--answer", "503", "--times", "2", "--count", "4")
    assert send(listening.url, times=4) == [503, 503, 204, 204]
    shown = listening.says("again, number 4")
    assert shown.count("answered 503") == 2


def test_a_public_key_is_enough(listen: Listen) -> None:
    """What an ed25519 key signed is verified with `whpk_…` alone."""
    ours = new_webhook_secret("ed25519")
    private = signing_key(ours)
    assert isinstance(private, Ed25519PrivateKey)
    listening = listen("--secret", public_key(private), "--count", "1")
    assert send(listening.url, WEBHOOK_SECRET) == [400]
    assert send(listening.url, f"{WEBHOOK_SECRET},{ours}") == [204]
    listening.says("1 events verified, 1 requests refused")


def test_json(listen: Listen) -> None:
    """One object a line, the event whole."""
    listening = listen("--secret", WEBHOOK_SECRET, "--count", "2", "--json")
    assert send(listening.url, OTHER_SECRET) == [400]
    assert send(listening.url, event="job.failed", times=2) == [204, 204]
    wait_until(lambda: listening.child.exit_code is not None, "the count is reached")
    refused, first, second = listening.records()
    assert refused["event"] is None
    assert refused["refused"].startswith("no signature is valid")
    assert (first["times"], second["times"]) == (1, 2)
    assert first["event"] == second["event"]
    assert first["event"]["data"]["metadata"] == {"test": True}
    assert first["id"].startswith("msg_test_")


def test_what_cannot_be_used_is_said(invoke: Invoke) -> None:
    """A secret that is none, and a port that is taken; the secret is not repeated."""
    refused = invoke("webhooks", "listen", "--secret", "whsec_c2hvcnQ=")
    assert refused.exit_code == 2
    assert "--secret must hold 24 to 64 bytes" in refused.output
    assert "c2hvcnQ" not in refused.output
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = invoke("webhooks", "listen", "--port", str(port))
    assert refused.exit_code == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in refused.output


@pytest.fixture
def told() -> list[Arrival]:
    """What a receiver told."""
    return []


@pytest.fixture
def receiver(told: list[Arrival]) -> Iterator[VerifyingReceiver]:
    """The receiver itself."""
    made = VerifyingReceiver(WEBHOOK_SECRET, tell=told.append)
    yield made
    made.close()


@pytest.mark.parametrize("length", [str(LARGEST_BODY + 1), "-1", "many", "²"])
def test_a_body_without_a_fair_length_is_not_read(
    receiver: VerifyingReceiver, told: list[Arrival], length: str
) -> None:
    """The answer comes before the body, and the connection closes."""
    host, port = receiver.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert told[0].refused is not None


def test_a_sender_that_hangs_up(receiver: VerifyingReceiver, capfd: pytest.CaptureFixture[str]) -> None:
    """It disturbs nobody, and nothing is printed."""
    host, port = receiver.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
    assert send(receiver.url) == [204]
    wait_until(lambda: receiver.refused, "half a body is refused")
    assert capfd.readouterr() == ("", "")


def test_over_ipv6(told: list[Arrival]) -> None:
    """An address with colons is one, too."""
    port = free_port(host="::1")
    receiver = VerifyingReceiver(WEBHOOK_SECRET, host="::1", port=port, tell=told.append)
    try:
        assert receiver.url == f"http://[::1]:{port}/webhooks"
        assert send(receiver.url) == [204]
    finally:
        receiver.close()
    assert told[0].times == 1
