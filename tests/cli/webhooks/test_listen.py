"""`photogpt-worker webhooks listen`."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.webhook_keys import new_webhook_secret, public_key, signing_key
from tests.cli.commands import Running
from tests.cli.conftest import Invoke
from tests.cli.webhooks.sending import send
from tests.running import WEBHOOK_SECRET
from tests.waiting import wait_until

OTHER_SECRET = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldC1vdGhlcg=="

Listen = Callable[..., "Listening"]


class Listening(Running):
    """The command in a process of its own."""

    @property
    def url(self) -> str:
        """The URL that the command prints."""
        found = re.search(r"Listening on (\S+);", self.wait_for_output("Ctrl-C ends it"))
        assert found
        return found[1]

    def records(self) -> list[dict[str, Any]]:
        """Return the JSON objects that the command printed."""
        return [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Return a function that starts the command on a free port."""
    started: list[Listening] = []

    def start(*argv: str, **env: str) -> Listening:
        log = tmp_path / f"listen-{len(started)}.log"
        started.append(Listening(log, {"PHOTOGPT_WEBHOOK_SECRETS": "", **env}, "webhooks", "listen", "--port=0", *argv))
        return started[-1]

    yield start
    for each in started:
        each.child.stop()


def test_a_new_secret_and_ctrl_c(listen: Listen) -> None:
    """`webhooks listen` without a secret prints a new one, and verifies events that are signed with it."""
    listening = listen()
    made = re.search(
        r"export PHOTOGPT_WEBHOOK_SECRETS=(\S+)", listening.wait_for_output("PHOTOGPT_WEBHOOK_ALLOW_NETWORKS")
    )
    assert made
    assert send(listening.url, made[1], event="model.failed") == [204]
    listening.wait_for_output("model.failed")
    assert listening.end_with(signal.SIGINT) == 0
    assert "1 events verified, 0 requests refused" in listening.text()


def test_secrets_of_the_settings(listen: Listen) -> None:
    """`webhooks listen` verifies with the secrets of the settings, explains refusals and prints no secret."""
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
    for words in (
        "it is no webhook",
        "it is not signed",
        "the sender has other PHOTOGPT_WEBHOOK_SECRETS",
        "job.succeeded",
    ):
        assert words in shown
    assert WEBHOOK_SECRET not in shown


def test_retries(listen: Listen) -> None:
    """`webhooks listen --answer 503 --times 2` answers each event twice with 503 and then with 204."""
    listening = listen("--secret", WEBHOOK_SECRET, "--answer", "503", "--times", "2", "--count", "4")
    assert send(listening.url, times=4) == [503, 503, 204, 204]
    shown = listening.wait_for_output("attempt 4 of the same event")
    assert shown.count("answered 503") == 2


def test_a_public_key_is_enough(listen: Listen) -> None:
    """`webhooks listen --secret whpk_…` verifies events that were signed with the private key."""
    ours = new_webhook_secret("ed25519")
    private = signing_key(ours)
    assert isinstance(private, Ed25519PrivateKey)
    listening = listen("--secret", public_key(private), "--count", "1")
    assert send(listening.url, WEBHOOK_SECRET) == [400]
    assert send(listening.url, f"{WEBHOOK_SECRET},{ours}") == [204]
    listening.wait_for_output("1 events verified, 1 requests refused")


def test_json(listen: Listen) -> None:
    """`webhooks listen --json` prints one JSON object a line with the whole event."""
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


def test_invalid_options(invoke: Invoke) -> None:
    """`webhooks listen` refuses an invalid secret without printing it, and a port in use."""
    refused = invoke("webhooks", "listen", "--secret", "whsec_c2hvcnQ=")
    assert refused.exit_code == 2
    assert "--secret must hold 24 to 64 bytes" in refused.output
    assert "c2hvcnQ" not in refused.output
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = invoke("webhooks", "listen", "--port", str(port))
    assert refused.exit_code == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in refused.output
