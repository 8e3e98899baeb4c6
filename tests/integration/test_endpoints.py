"""Endpoints that fail, end, recover, and do not delay others, with a real worker and real receivers."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from standardwebhooks import Webhook

from config.settings import Settings
from tests.running import WEBHOOK_SECRET, ReceivedRequest, Receiver, WorkerProcess
from tests.waiting import wait_until
from worker.domain.endpoint import endpoint_of
from worker.domain.lane import Lane
from worker.store.lanes import leave_to_lane_monitor
from worker.store.store import Store, open_store

BURST = 120


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """Open the store that the worker uses."""
    opened = open_store(settings, leave_to_lane_monitor)
    yield opened
    opened.close()


Send = Callable[..., list[str]]


@pytest.fixture
def send(producer: Celery, worker: WorkerProcess) -> Send:
    """Create events quickly: jobs that are refused at once send their webhook too."""
    return lambda url, count=1: enqueue(producer, url, count)


def enqueue(producer: Celery, url: str, count: int) -> list[str]:
    """Enqueue jobs that are refused at once, and return their ids."""
    kwargs = {"request": {}, "webhook_url": url}
    sent = [producer.send_task("photogpt.generate_image", kwargs=kwargs, ignore_result=True) for _ in range(count)]
    return [str(result.id) for result in sent]


def webhook(store: Store, job_id: str) -> dict[str, Any]:
    """Return the only webhook of a job, once it exists."""
    (found,) = wait_until(lambda: store.delivery_history.of_job(job_id), "there is a webhook")
    return found


def ends(store: Store, job_id: str, state: str) -> dict[str, Any]:
    """Wait until a job's webhook is in a state, and return it."""
    wait_until(lambda: webhook(store, job_id)["state"] == state, f"it is {state}")
    return webhook(store, job_id)


def test_a_receiver_can_end_one_message(send: Send, store: Store, receiver: Receiver) -> None:
    """`webhook-delivery: abort-message` on a 500 makes the event a dead letter and leaves the endpoint enabled."""
    receiver.answers, receiver.headers = lambda _: 500, {"webhook-delivery": "abort-message"}
    (job,) = send(receiver.url)
    dead = ends(store, job, "dead")
    assert [attempt["fault"] for attempt in dead["attempts"]] == ["http_5xx"]
    assert "abort-message" in dead["attempts"][0]["error"]
    receiver.answers = lambda _: 204
    (other,) = send(receiver.url)
    ends(store, other, "delivered")


def test_an_endpoint_that_is_gone_comes_back(
    send: Send, store: Store, producer: Celery, receiver: Receiver, client: redis.Redis
) -> None:
    """A 410 disables the endpoint; after it is enabled and recovered, its dead letters arrive under their ids."""
    receiver.answers = lambda _: 410
    (first,) = send(receiver.url)
    assert ends(store, first, "dead")["attempts"][0]["fault"] == "gone"
    receiver.answers = lambda _: 204
    (second,) = send(receiver.url)
    kept = ends(store, second, "dead")
    assert kept["attempts"][0]["fault"] == "endpoint_disabled"
    assert len(receiver.requests) == 1
    (shown,) = store.endpoints.listed(disabled=True)
    assert (shown["url"], shown["disabled"]) == (receiver.url, "gone")
    stream: Any = client.xrange("photogpt:events")
    events = [fields for _, fields in stream if fields["type"] == "webhook.endpoint_disabled"]
    assert json.loads(events[0]["data"])["endpoint"] == shown["id"]

    assert store.endpoints.enable(shown["id"])
    recovery = producer.send_task("photogpt.recover_webhooks", kwargs={"since_s": 60, "endpoint": receiver.url})
    assert recovery.get(timeout=20)["resent"] == 2
    for job in (first, second):
        ends(store, job, "delivered")
    assert {received.headers["webhook-id"] for received in receiver.requests[1:]} == {
        webhook(store, job)["id"] for job in (first, second)
    }


def test_a_receiver_can_accept_and_disable(send: Send, store: Store, receiver: Receiver) -> None:
    """`webhook-delivery: disable` on a 204 disables the endpoint and delivers the webhook."""
    receiver.headers = {"webhook-delivery": "disable"}
    (job,) = send(receiver.url)
    ends(store, job, "delivered")
    (shown,) = store.endpoints.listed(disabled=True)
    assert shown["disabled"] == "asked"


def test_an_open_circuit_delays_no_other_endpoint(send: Send, store: Store, receiver: Receiver) -> None:
    """An endpoint with an open circuit gets no attempts, and another endpoint gets all of its webhooks."""
    receiver.answers = lambda _: 500
    for job in send(receiver.url, 30):
        webhook(store, job)
    failing = endpoint_of(receiver.url).id
    wait_until(lambda: (store.endpoints.get(failing) or {}).get("state") == "circuit_open", "the circuit opens")
    before = len(receiver.requests)
    with closing(Receiver()) as other:
        jobs = send(receiver.url, 20) + send(other.url, 20)
        for job in jobs[20:]:
            ends(store, job, "delivered")
    wait_until(lambda: store.lanes.sizes()[Lane.DELIVERIES] == 0, "the lane is empty")
    assert len(receiver.requests) - before <= 4  # attempts in flight when the circuit opened
    assert all(webhook(store, job)["attempts"] == [] for job in jobs[:20])
    assert len(other.requests) == 20


def test_a_webhook_can_be_sent_again(send: Send, store: Store, producer: Celery, receiver: Receiver) -> None:
    """A delivered webhook can be sent again with the same id and body and a new signature."""
    (job,) = send(receiver.url)
    name = ends(store, job, "delivered")["id"]
    assert producer.send_task("photogpt.resend_webhook", args=[name]).get(timeout=20) == {
        "id": name,
        "answer": "scheduled",
    }
    wait_until(lambda: len(webhook(store, job)["attempts"]) == 2, "it was sent again")
    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == name
    Webhook(WEBHOOK_SECRET).verify(second.body, second.headers)
    assert [attempt["trigger"] for attempt in webhook(store, job)["attempts"]] == ["scheduled", "manual"]


def test_an_unknown_webhook_cannot_be_sent_again(producer: Celery, worker: WorkerProcess) -> None:
    """Sending an unknown webhook again fails with an error that names its id."""
    with pytest.raises(Exception, match="there is no webhook msg_unknown"):
        producer.send_task("photogpt.resend_webhook", args=["msg_unknown"]).get(timeout=20)


def test_the_history_records_an_attempt(send: Send, store: Store, receiver: Receiver) -> None:
    """The history of a webhook has status, kind of fault, duration and trigger of an attempt."""
    receiver.answers = lambda _: 404
    (job,) = send(receiver.url)
    wait_until(lambda: webhook(store, job)["attempts"], "it was tried")
    (attempt,) = webhook(store, job)["attempts"]
    assert (attempt["status"], attempt["fault"], attempt["trigger"]) == (404, "http_4xx", "scheduled")
    assert attempt["duration_ms"] >= 0
    assert webhook(store, job)["state"] == "pending"


def complete(receiver: Receiver) -> list[ReceivedRequest]:
    """Return the complete requests; a killed worker may have sent half a body."""
    return [received for received in receiver.requests if len(received.body) == int(received.headers["content-length"])]


@pytest.mark.usefixtures("client")
def test_kills_in_the_middle_of_a_burst_lose_nothing(
    producer: Celery,
    worker_env: dict[str, str],
    store: Store,
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    """Killing the worker during a burst loses no event; each arrives under one id with a valid signature."""
    accepted = threading.Event()

    def answer(_: ReceivedRequest) -> int:
        accepted.wait(timeout=1)
        return 204

    receiver.answers = answer
    events = worker_env | {"PHOTOGPT_WEBHOOK_DEADLINE_S": "2"}
    worker = WorkerProcess(events, tmp_path / "worker.log").ready()
    try:
        jobs = enqueue(producer, receiver.url, BURST)
        expected = {webhook(store, job)["id"] for job in jobs}  # Celery on Redis may lose a message with a worker
        accepted.set()
        for share in (1, 2):
            wait_until(lambda part=share: len(receiver.requests) >= part * BURST // 3, "a part has arrived")  # type: ignore[misc]
            worker.kill()
            worker.start()
            worker.ready()
        wait_until(
            lambda: {received.headers["webhook-id"] for received in complete(receiver)} >= expected,
            "all arrive",
            within=60,
        )
    finally:
        worker.stop()
    bodies: dict[str, set[bytes]] = {}
    for received in complete(receiver):
        Webhook(WEBHOOK_SECRET).verify(received.body, received.headers)
        bodies.setdefault(received.headers["webhook-id"], set()).add(received.body)
    assert bodies.keys() == expected
    assert Counter(map(len, bodies.values())) == {1: BURST}


def test_more_events_than_slots(send: Send, store: Store, receiver: Receiver) -> None:
    """A burst never exceeds the limit of concurrent attempts, and waiting for a slot uses up no attempt."""
    lock, in_flight, maximum = threading.Lock(), set[str](), [0]

    def answer(received: ReceivedRequest) -> int:
        with lock:
            in_flight.add(received.headers["webhook-id"])
            maximum[0] = max(maximum[0], len(in_flight))
        pause.wait(0.02)  # so that attempts overlap
        with lock:
            in_flight.discard(received.headers["webhook-id"])
        return 204

    pause = threading.Event()
    receiver.answers = answer
    for job in send(receiver.url, 60):
        assert len(ends(store, job, "delivered")["attempts"]) == 1
    assert 1 < maximum[0] <= 16
