"""Each example takes what we send, once, and refuses everything else with 4xx."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from celery import Celery

from config.secrets import decode_webhook_secret
from config.settings import Settings
from tests.acceptance.receivers.conftest import COMMANDS, EXAMPLES, NEXT_SECRET, Example
from tests.conftest import image_request
from tests.running import WEBHOOK_SECRET
from tests.waiting import wait_until
from worker.cli.webhooks.sample_event import ForgingSender, sample_delivery
from worker.domain.errors import DeliveryError
from worker.webhooks.sender import WebhookSender
from worker.webhooks.signing import TOLERANCE_S, sign

SENT: dict[str, Any] = {"_env_file": None, "webhook_allow_networks": "127.0.0.0/8"}
KEY = decode_webhook_secret(WEBHOOK_SECRET)
GARBAGE = [b"", b"\xff\xfe\xfd", b"not json", b"[]", b"null", b'"text"', b"{" * 20_000]
MALFORMED = ["", "v1", "v1,", "v1,%%%", "v1,YQ", "v1,a  v1,b", "v2,YQ==", "v1a,YQ== v1,YQ==", ",", "v1,é"]


@pytest.fixture
def sender() -> Iterator[WebhookSender]:
    """What workers send with."""
    made = WebhookSender(Settings(**SENT, webhook_secrets=WEBHOOK_SECRET))
    yield made
    made.close()


def post(example: Example, body: bytes, headers: dict[str, str]) -> int:
    """Send something that no worker would, and return the status."""
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    return requests.post(example.url, data=body, headers=encoded, timeout=20).status_code


def signed(body: bytes, *, age: float = 0, webhook_id: str = "msg_by_hand") -> dict[str, str]:
    """Return headers that fit."""
    stamp = int(time.time() - age)
    signature = sign([KEY], webhook_id=webhook_id, timestamp=stamp, body=body)
    return {"webhook-id": webhook_id, "webhook-timestamp": str(stamp), "webhook-signature": signature}


def test_all_of_them_are_run() -> None:
    """No example stands there that the README has no command for."""
    there = {path.stem.removesuffix("_receiver") for path in EXAMPLES.glob("*_receiver.py")}
    assert set(COMMANDS) == there | {"express"}


def test_a_real_event_is_handled_once(example: Example, sender: WebhookSender) -> None:
    """The second attempt is answered well, and is no second event."""
    now = time.time()
    first = sample_delivery(example.url, "job.succeeded", at=now)
    another = sample_delivery(example.url, "model.failed", at=now)

    taken = [sender.send(delivery, at=time.time()).status for delivery in (first, first, first, another)]

    assert taken == [204] * 4
    lines = wait_until(
        lambda: [line for line in example.handled() if another.job_id in line] and example.handled(),
        "the last event is handled",
    )
    assert sorted(line for line in lines if first.job_id in line or another.job_id in line) == [
        f"job.succeeded {first.job_id} succeeded",
        f"model.failed {another.job_id} failed",
    ]


@pytest.mark.parametrize("secrets", [NEXT_SECRET, f"{NEXT_SECRET},{WEBHOOK_SECRET}", WEBHOOK_SECRET])
def test_rotation(example: Example, secrets: str) -> None:
    """Before, while and after the sender changes its secret."""
    made = WebhookSender(Settings(**SENT, webhook_secrets=secrets))
    try:
        now = time.time()
        assert made.send(sample_delivery(example.url, "job.failed", at=now), at=now).status == 204
    finally:
        made.close()


def test_one_bit_off(example: Example) -> None:
    """A signature that almost fits does not fit."""
    forger = ForgingSender(Settings(**SENT, webhook_secrets=WEBHOOK_SECRET))
    now = time.time()
    delivery = sample_delivery(example.url, "job.succeeded", at=now)
    try:
        with pytest.raises(DeliveryError) as refused:
            forger.send(delivery, at=now)
    finally:
        forger.close()
    assert refused.value.status == 401
    assert not any(delivery.job_id in line for line in example.handled())


@pytest.mark.parametrize("off", [-TOLERANCE_S - 60, TOLERANCE_S + 60])
def test_a_time_stamp_that_is_off(example: Example, sender: WebhookSender, off: float) -> None:
    """What was recorded is not believed later, nor what is ahead of its time."""
    now = time.time()
    with pytest.raises(DeliveryError) as refused:
        sender.send(sample_delivery(example.url, "job.succeeded", at=now), at=now + off)
    assert refused.value.status == 401


def test_a_body_that_was_changed(example: Example) -> None:
    """The signature of one body is none for another."""
    headers = signed(b'{"type":"job.succeeded","data":{"id":"a","state":"succeeded"}}')
    assert post(example, b'{"type":"job.succeeded","data":{"id":"b","state":"succeeded"}}', headers) == 401


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: repr(body[:8]))
def test_signed_garbage(example: Example, body: bytes) -> None:
    """A body that is no event is refused even if its signature fits, and without one all the more."""
    assert 400 <= post(example, body, signed(body, webhook_id="msg_garbage")) < 500
    assert 400 <= post(example, body, {}) < 500


@pytest.mark.parametrize("signature", MALFORMED)
def test_malformed_signatures(example: Example, signature: str) -> None:
    """A stranger's header gets a 4xx, not a traceback."""
    body = b'{"type":"job.succeeded","data":{"id":"a","state":"succeeded"}}'
    assert post(example, body, signed(body) | {"webhook-signature": signature}) == 401


@pytest.mark.parametrize("stamp", ["", "now", "nan", "inf", "1e999", "-1", "9" * 40])
def test_malformed_time_stamps(example: Example, stamp: str) -> None:
    """The same for the time."""
    body = b'{"type":"job.succeeded","data":{"id":"a","state":"succeeded"}}'
    assert post(example, body, signed(body) | {"webhook-timestamp": stamp}) == 401


@pytest.mark.usefixtures("worker")
def test_the_whole_line(example: Example, producer: Celery) -> None:
    """From enqueue by a worker and the sandbox to the example."""
    kwargs = {"request": image_request(), "webhook_url": example.url, "metadata": {"order": "Äpfel \N{SNOWMAN}"}}
    job_id = producer.send_task("photogpt.generate_image", kwargs=kwargs).id

    wait_until(lambda: f"job.succeeded {job_id} succeeded" in example.handled(), "the webhook is handled")
