"""Each example accepts what workers send, handles it once, and refuses everything else with 4xx."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from celery import Celery

from config.settings import Settings
from config.webhook_keys import decode_webhook_secret
from photogpt_client.testing.events import forged_event, signed_event
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
    """Return the sender that workers use."""
    made = WebhookSender(Settings(**SENT, webhook_secrets=WEBHOOK_SECRET))
    yield made
    made.close()


def post(example: Example, body: bytes, headers: dict[str, str]) -> int:
    """Send any request and return the status."""
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    return requests.post(example.url, data=body, headers=encoded, timeout=20).status_code


def signed(body: bytes, *, age: float = 0, webhook_id: str = "msg_by_hand") -> dict[str, str]:
    """Return headers with a valid signature."""
    stamp = int(time.time() - age)
    signature = sign([KEY], webhook_id=webhook_id, timestamp=stamp, body=body)
    return {"webhook-id": webhook_id, "webhook-timestamp": str(stamp), "webhook-signature": signature}


def test_every_example_is_run() -> None:
    """Every example has a command in the README."""
    there = {path.stem.removesuffix("_receiver") for path in EXAMPLES.glob("*_receiver.py")}
    assert set(COMMANDS) == there | {"express"}


def test_a_real_event_is_handled_once(example: Example, sender: WebhookSender) -> None:
    """An event that is sent three times is accepted each time and handled once."""
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
def test_a_secret_can_be_rotated(example: Example, secrets: str) -> None:
    """An event is accepted before, during and after the sender changes its secret."""
    made = WebhookSender(Settings(**SENT, webhook_secrets=secrets))
    try:
        now = time.time()
        assert made.send(sample_delivery(example.url, "job.failed", at=now), at=now).status == 204
    finally:
        made.close()


def test_a_forged_signature_is_refused(example: Example) -> None:
    """A signature with one wrong bit gets 401, and the event is not handled."""
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
def test_a_timestamp_outside_the_tolerance_is_refused(example: Example, sender: WebhookSender, off: float) -> None:
    """An event with a timestamp more than five minutes off gets 401."""
    now = time.time()
    with pytest.raises(DeliveryError) as refused:
        sender.send(sample_delivery(example.url, "job.succeeded", at=now), at=now + off)
    assert refused.value.status == 401


def test_a_changed_body_is_refused(example: Example) -> None:
    """A body under the signature of another body gets 401."""
    headers = signed(b'{"type":"job.succeeded","data":{"id":"a","state":"succeeded"}}')
    assert post(example, b'{"type":"job.succeeded","data":{"id":"b","state":"succeeded"}}', headers) == 401


@pytest.mark.parametrize("body", GARBAGE, ids=lambda body: repr(body[:8]))
def test_a_body_that_is_no_event_is_refused(example: Example, body: bytes) -> None:
    """A body that is not an event gets 4xx, with and without a valid signature."""
    assert 400 <= post(example, body, signed(body, webhook_id="msg_garbage")) < 500
    assert 400 <= post(example, body, {}) < 500


@pytest.mark.parametrize("signature", MALFORMED)
def test_a_malformed_signature_is_refused(example: Example, signature: str) -> None:
    """A malformed signature header gets 401."""
    body = b'{"type":"job.succeeded","data":{"id":"a","state":"succeeded"}}'
    assert post(example, body, signed(body) | {"webhook-signature": signature}) == 401


@pytest.mark.parametrize("stamp", ["", "now", "nan", "inf", "1e999", "-1", "9" * 40])
def test_a_malformed_timestamp_is_refused(example: Example, stamp: str) -> None:
    """A malformed timestamp header gets 401."""
    body = b'{"type":"job.succeeded","data":{"id":"a","state":"succeeded"}}'
    assert post(example, body, signed(body) | {"webhook-timestamp": stamp}) == 401


@pytest.mark.usefixtures("worker")
def test_a_job_reaches_the_example(example: Example, producer: Celery) -> None:
    """A job enqueued by a producer reaches the example as a webhook."""
    kwargs = {"request": image_request(), "webhook_url": example.url, "metadata": {"order": "Äpfel \N{SNOWMAN}"}}
    job_id = producer.send_task("photogpt.generate_image", kwargs=kwargs).id

    wait_until(lambda: f"job.succeeded {job_id} succeeded" in example.handled(), "the webhook is handled")


def test_the_events_of_the_test_kit(example: Example) -> None:
    """An example accepts the signed event of the producers' test kit, and refuses the forged one."""
    good, bad = signed_event(secret=WEBHOOK_SECRET, id="of-the-kit"), forged_event(secret=WEBHOOK_SECRET)
    assert post(example, bad.body, bad.headers) == 401
    assert post(example, good.body, good.headers) == 204
    wait_until(lambda: any("of-the-kit" in line for line in example.handled()), "the event is handled")
