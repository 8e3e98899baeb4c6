"""`photogpt-worker webhooks test`."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import TypeAdapter

from config.webhook_keys import decode_webhook_secret
from tests.cli.conftest import Invoke
from tests.contract.conftest import certificate
from tests.contract.peers import Conversation, Peer, Script, answering, headers_of, server_tls
from tests.running import WEBHOOK_SECRET, ReceivedRequest, Receiver
from worker.cli.jobs.schemas import Webhook
from worker.cli.local.processes import free_port
from worker.cli.local.receiver import VerifyingReceiver
from worker.cli.webhooks.sample_event import sample_delivery
from worker.domain.files import FILE_EVENTS
from worker.domain.submission import EVENT_TYPES
from worker.webhooks.signing import sign

__all__ = ["certificate"]


@pytest.fixture
def verifying() -> Iterator[VerifyingReceiver]:
    """A receiver that verifies signatures."""
    made = VerifyingReceiver(WEBHOOK_SECRET)
    yield made
    made.close()


@pytest.mark.parametrize("event", sorted(EVENT_TYPES))
def test_sample_events_fit_the_schema(event: str) -> None:
    """A test event validates against the published schema and is marked as a test."""
    delivery = sample_delivery("https://shop.example/", event, at=1_800_000_000.0)
    body = TypeAdapter(Webhook).validate_json(delivery.body)
    assert delivery.id.startswith("msg_test_")
    assert body.type == delivery.type == event
    assert body.data.metadata == {"test": True}
    assert body.data.state == ("succeeded" if event in FILE_EVENTS else event.partition(".")[2])
    assert (body.data.finished_at is None) is (body.sequence < 4)


def test_a_good_receiver(invoke: Invoke, verifying: VerifyingReceiver) -> None:
    """`webhooks test` ends with exit code 0 for a receiver that accepts the real event and refuses both forged ones."""
    result = invoke("webhooks", "test", verifying.url)
    assert result.exit_code == 0, result.output
    assert result.output.count("✓") == 3
    assert "accepted with 204 by 127.0.0.1" in result.output
    assert list(verifying.verified.values()) == [1]
    assert verifying.refused == ["no signature is valid", "the timestamp is too far from now"]


def test_a_receiver_that_accepts_forgeries(invoke: Invoke, receiver: Receiver) -> None:
    """`webhooks test` ends with exit code 3 for a receiver that accepts forged events."""
    result = invoke("webhooks", "test", receiver.url, "--type", "model.expired")
    assert result.exit_code == 3
    assert "an event with one wrong bit in its signature is accepted with 204" in result.output
    assert "an event that was signed an hour ago is accepted with 204" in result.output
    true, forged, old = receiver.requests
    assert true.json["type"] == "model.expired"
    assert len({received.headers["webhook-id"] for received in receiver.requests}) == 3
    assert differing_bits(forged) == 1
    assert int(true.headers["webhook-timestamp"]) - int(old.headers["webhook-timestamp"]) in range(3500, 3700)


def differing_bits(received: ReceivedRequest) -> int:
    """Count the bits in which the received signature differs from the valid one."""
    headers = received.headers
    true = sign(
        [decode_webhook_secret(WEBHOOK_SECRET)],
        webhook_id=headers["webhook-id"],
        timestamp=int(headers["webhook-timestamp"]),
        body=received.body,
    )
    one, other = (int.from_bytes(b64decode(text.removeprefix("v1,"))) for text in (true, headers["webhook-signature"]))
    return (one ^ other).bit_count()


def test_without_probe(invoke: Invoke, receiver: Receiver) -> None:
    """`webhooks test --no-probe` sends one event only."""
    assert invoke("webhooks", "test", receiver.url, "--no-probe").exit_code == 0
    assert len(receiver.requests) == 1


def test_forgeries_that_are_answered_5xx(invoke: Invoke, receiver: Receiver) -> None:
    """`webhooks test` warns if the receiver answers forged events with 5xx instead of 4xx."""
    answers = iter((204, 500, 503))
    receiver.answers = lambda _: next(answers)
    result = invoke("webhooks", "test", receiver.url)
    assert result.exit_code == 0
    assert result.output.count("the receiver should answer 4xx") == 2


def test_the_url_of_the_settings(invoke: Invoke, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """`webhooks test` without a URL uses PHOTOGPT_WEBHOOK_URL, and names the variable if it is not set."""
    assert "PHOTOGPT_WEBHOOK_URL is not set" in invoke("webhooks", "test").output
    monkeypatch.setenv("PHOTOGPT_WEBHOOK_URL", receiver.url)
    assert invoke("webhooks", "test", "--no-probe").exit_code == 0


def test_unsigned(invoke: Invoke, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """`webhooks test` without a secret sends one unsigned event, says so, and sends no forged event."""
    monkeypatch.delenv("PHOTOGPT_WEBHOOK_SECRETS")
    result = invoke("webhooks", "test", receiver.url)
    assert result.exit_code == 0
    assert "went out unsigned" in result.output
    assert [received for received in receiver.requests if "webhook-signature" in received.headers] == []
    receiver.answers = lambda _: 401
    assert "went out unsigned" in invoke("webhooks", "test", receiver.url).output


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (301, "Redirects are not followed"),
        (400, "that it has the same secret"),
        (401, "that it has the same secret"),
        (404, "accepts no POST at /hook"),
        (410, "410 means that workers must not send this event again"),
        (418, "Only 2xx"),
        (429, "overloaded"),
        (500, "its own log says where"),
        (503, "overloaded"),
    ],
)
def test_http_errors(invoke: Invoke, receiver: Receiver, status: int, words: str) -> None:
    """`webhooks test` explains every kind of HTTP error of the receiver."""
    receiver.answers = lambda _: status
    result = invoke("webhooks", "test", receiver.url)
    assert result.exit_code == 1
    assert f"the receiver answered {status}" in result.output
    assert words in result.output
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://nowhere.invalid/", "The name nowhere.invalid does not resolve"),
        ("http://[::1]/", "PHOTOGPT_WEBHOOK_ALLOW_NETWORKS=::1/128"),
        ("http://10.1.2.3/", "PHOTOGPT_WEBHOOK_ALLOW_NETWORKS=10.1.2.3/32"),
        ("http://*.shop.example/", "Correct the URL"),
        ("http://169.254.169.254/latest/meta-data", "whatever the settings are"),
    ],
)
def test_addresses_that_are_not_called(invoke: Invoke, url: str, words: str) -> None:
    """`webhooks test` explains why a host is not called, with the setting that would allow it."""
    result = invoke("webhooks", "test", url)
    assert result.exit_code == 1
    assert words in result.output


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("PORTS", "443", "PHOTOGPT_WEBHOOK_PORTS"),
        ("SCHEMES", "https", "PHOTOGPT_WEBHOOK_SCHEMES allows https only."),
        ("PROXY_URL", "http://127.0.0.1:9", "The receiver is not at fault"),
    ],
)
def test_settings_that_prevent_an_attempt(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    """`webhooks test` names the setting that prevents an attempt."""
    monkeypatch.setenv(f"PHOTOGPT_WEBHOOK_{variable}", value)
    result = invoke("webhooks", "test", "http://8.8.8.8/")
    assert result.exit_code == 1
    assert words in result.output


def test_thin(invoke: Invoke, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """`webhooks test` with PHOTOGPT_WEBHOOK_BODY=thin sends an event without outputs."""
    monkeypatch.setenv("PHOTOGPT_WEBHOOK_BODY", "thin")
    invoke("webhooks", "test", receiver.url, "--no-probe")
    assert "images" not in receiver.requests[0].json["data"]


def test_an_answer_that_disables_the_endpoint(invoke: Invoke) -> None:
    """`webhooks test` warns if the receiver's answer would disable its endpoint."""
    with Peer(answering(204, b"", "webhook-delivery: disable")) as peer:
        result = invoke("webhooks", "test", peer.url, "--no-probe")
    assert result.exit_code == 0
    assert "workers would send no more events" in result.output


def test_nothing_listens(invoke: Invoke) -> None:
    """`webhooks test` names the port on which nothing listens."""
    port = free_port()
    result = invoke("webhooks", "test", f"http://127.0.0.1:{port}/")
    assert result.exit_code == 1
    assert f"nothing listens on port {port}" in result.output


def test_an_invalid_certificate(invoke: Invoke, certificate: tuple[Path, Path]) -> None:
    """`webhooks test` explains why the receiver's certificate was not accepted."""
    with Peer(answering(204), tls=server_tls(certificate)) as peer:
        result = invoke("webhooks", "test", peer.url)
    assert result.exit_code == 1
    assert "The certificate was not accepted" in result.output


@pytest.mark.parametrize(
    ("first_day", "advice"), [(-2, "has expired: renew it"), (2, "is not valid yet: check the clock of this machine")]
)
def test_a_certificate_out_of_its_time(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first_day: int, advice: str
) -> None:
    """`webhooks test` says that a certificate has expired, or is not valid yet, though its authority is trusted."""
    paths = dated_certificate(tmp_path, datetime.now(UTC) + timedelta(days=first_day))
    monkeypatch.setenv("PHOTOGPT_WEBHOOK_CA_FILE", str(paths[0]))
    with Peer(answering(204), tls=server_tls(paths)) as peer:
        result = invoke("webhooks", "test", peer.url)
    assert result.exit_code == 1
    assert f"The certificate of 127.0.0.1 {advice}" in " ".join(result.output.split())


def dated_certificate(directory: Path, first_day: datetime) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that is valid for one day, and its key; openssl req makes no expired one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).add_extension(address, critical=False)
    made = made.not_valid_before(first_day).not_valid_after(first_day + timedelta(days=1))
    paths = directory / "cert.pem", directory / "key.pem"
    paths[0].write_bytes(made.sign(key, SHA256()).public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def silent(conversation: Conversation) -> None:
    """Read the request and never answer."""
    conversation.silence()


def resetting(conversation: Conversation) -> None:
    """Close the connection instead of answering."""
    conversation.reset()


@pytest.mark.parametrize(
    ("script", "words"), [(silent, "0.3 s in all"), (resetting, "The connection failed or was closed")]
)
def test_no_answer(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, script: Script, words: str) -> None:
    """`webhooks test` explains a timeout and a closed connection differently."""
    monkeypatch.setenv("PHOTOGPT_WEBHOOK_DEADLINE_S", "0.3")
    with Peer(script) as peer:
        result = invoke("webhooks", "test", peer.url)
    assert result.exit_code == 1
    assert words in result.output.replace("\n", " ")


def test_a_slow_answer(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """`webhooks test` warns if the receiver answers slowly."""
    monkeypatch.setattr("worker.cli.webhooks.test.SLOW_S", 0.0)
    with Peer(answering(200)) as peer:
        result = invoke("webhooks", "test", peer.url, "--no-probe")
        (request,) = peer.requests
    assert result.exit_code == 0
    assert "The answer is slow" in result.output
    assert headers_of(request)["webhook-id"].startswith("msg_test_")


def test_control_characters_are_not_printed(invoke: Invoke) -> None:
    """`webhooks test` prints a receiver's answer without control characters and without markup."""
    with Peer(answering(400, b"\x1b[2Jno [red]thanks")) as peer:
        result = invoke("webhooks", "test", peer.url)
    assert "\x1b" not in result.output
    assert "no [red]thanks" in result.output


@pytest.mark.parametrize("url", ["ftp://a.example/", "http://", "http://user:pw@a.example/", "no url"])
def test_invalid_urls(invoke: Invoke, url: str) -> None:
    """`webhooks test` refuses an invalid URL with exit code 2."""
    result = invoke("webhooks", "test", url)
    assert result.exit_code == 2
    assert "Error: the URL" in result.output


def test_the_help_lists_the_exit_codes(invoke: Invoke) -> None:
    """The help of `webhooks test` lists the exit codes."""
    assert (
        "3  the event was accepted, but the receiver accepts forged events as well"
        in invoke("webhooks", "test", "--help").output
    )
