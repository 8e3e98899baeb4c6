"""Endpoints that fail, end, come back, and hold up nobody: a real worker and real receivers."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
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
from worker.store.connection import Store, open_store
from worker.store.keys import Lane
from worker.store.lanes import leave_to_lane_monitor

BURST = 120


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """The ledger that the worker writes."""
    opened = open_store(settings, leave_to_lane_monitor)
    yield opened
    opened.close()


@pytest.fixture
def neighbour() -> Iterator[Receiver]:
    """Another receiver."""
    running = Receiver()
    yield running
    running.close()


Send = Callable[..., list[str]]


@pytest.fixture
def send(producer: Celery, worker: WorkerProcess) -> Send:
    """Make events as fast as they come: jobs that are refused at once tell their webhook all the same."""
    return lambda url, count=1: enqueue(producer, url, count)


def enqueue(producer: Celery, url: str, count: int) -> list[str]:
    """Enqueue jobs that are refused at once, and return their ids."""
    kwargs = {"request": {}, "webhook_url": url}
    sent = [producer.send_task("photogpt.generate_image", kwargs=kwargs, ignore_result=True) for _ in range(count)]
    return [str(result.id) for result in sent]


def webhook(store: Store, job_id: str) -> dict[str, Any]:
    """Return the one webhook of a job, once there is one."""
    (found,) = wait_until(lambda: store.deliveries.of_job(job_id), "there is a webhook")
    return found


def ends(store: Store, job_id: str, state: str) -> dict[str, Any]:
    """Wait until a job's webhook is in a state."""
    wait_until(lambda: webhook(store, job_id)["state"] == state, f"it is {state}")
    return webhook(store, job_id)


def test_a_receiver_can_end_one_message(send: Send, store: Store, receiver: Receiver) -> None:
    """`webhook-delivery: abort-message` on an answer that is no yes: no further attempt, and the endpoint stays."""
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
    """410 disables; what comes then is kept, unsent; enabled and recovered, it arrives under its first id."""
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
    told = [fields for _, fields in stream if fields["type"] == "webhook.endpoint_disabled"]
    assert json.loads(told[0]["data"])["endpoint"] == shown["id"]

    assert store.endpoints.enable(shown["id"])
    asked = producer.send_task("photogpt.recover_webhooks", kwargs={"since_s": 60, "endpoint": receiver.url})
    assert asked.get(timeout=20)["resent"] == 2
    for job in (first, second):
        ends(store, job, "delivered")
    assert {received.headers["webhook-id"] for received in receiver.requests[1:]} == {
        webhook(store, job)["id"] for job in (first, second)
    }


def test_a_receiver_can_disable_itself_and_take_the_webhook(send: Send, store: Store, receiver: Receiver) -> None:
    """`webhook-delivery: disable` on a yes."""
    receiver.headers = {"webhook-delivery": "disable"}
    (job,) = send(receiver.url)
    ends(store, job, "delivered")
    (shown,) = store.endpoints.listed(disabled=True)
    assert shown["disabled"] == "asked"


def test_a_broken_endpoint_is_left_in_peace_and_delays_nobody(
    send: Send, store: Store, receiver: Receiver, neighbour: Receiver
) -> None:
    """After a few failures in a row nothing is sent to it for a while; its neighbour gets all of its own."""
    receiver.answers = lambda _: 500
    for job in send(receiver.url, 30):
        webhook(store, job)
    failing = endpoint_of(receiver.url).id
    wait_until(lambda: (store.endpoints.get(failing) or {}).get("state") == "circuit_open", "the circuit opens")
    before = len(receiver.requests)
    jobs = send(receiver.url, 20) + send(neighbour.url, 20)
    for job in jobs[20:]:
        ends(store, job, "delivered")
    wait_until(lambda: store.lanes.sizes()[Lane.DELIVERIES] == 0, "all were seen to")
    assert len(receiver.requests) - before <= 4  # what was under way when it broke
    assert all(webhook(store, job)["attempts"] == [] for job in jobs[:20])
    assert len(neighbour.requests) == 20


def test_one_more_by_request(send: Send, store: Store, producer: Celery, receiver: Receiver) -> None:
    """A webhook that was taken is sent again, byte for byte under its id, with a fresh signature."""
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


def test_what_cannot_be_resent_says_so(producer: Celery, worker: WorkerProcess) -> None:
    """As the task's error."""
    with pytest.raises(Exception, match="there is no webhook msg_unknown"):
        producer.send_task("photogpt.resend_webhook", args=["msg_unknown"]).get(timeout=20)


def test_the_history_keeps_how_the_answer_began(send: Send, store: Store, receiver: Receiver) -> None:
    """Status, class of fault, duration, what asked for it."""
    receiver.answers = lambda _: 404
    (job,) = send(receiver.url)
    wait_until(lambda: webhook(store, job)["attempts"], "it was tried")
    (attempt,) = webhook(store, job)["attempts"]
    assert (attempt["status"], attempt["fault"], attempt["trigger"]) == (404, "http_4xx", "scheduled")
    assert attempt["duration_ms"] >= 0
    assert webhook(store, job)["state"] == "pending"


def whole(receiver: Receiver) -> list[ReceivedRequest]:
    """Return the requests that came to their end; a worker that is killed may leave half a body behind."""
    return [received for received in receiver.requests if len(received.body) == int(received.headers["content-length"])]


@pytest.mark.usefixtures("client")
def test_kills_in_the_middle_of_a_burst_lose_nothing(
    producer: Celery,
    worker_env: dict[str, str],
    store: Store,
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    """Every event arrives at least once, with its one id, none forged; slots of the dead worker come back."""
    accepted = threading.Event()

    def answer(_: ReceivedRequest) -> int:
        accepted.wait(timeout=1)
        return 204

    receiver.answers = answer
    told = worker_env | {"PHOTOGPT_WEBHOOK_DEADLINE_S": "2"}
    worker = WorkerProcess(told, tmp_path / "worker.log").ready()
    try:
        jobs = enqueue(producer, receiver.url, BURST)
        expected = {webhook(store, job)["id"] for job in jobs}  # Celery on Redis may lose a message with a worker
        accepted.set()
        for share in (1, 2):
            wait_until(lambda part=share: len(receiver.requests) >= part * BURST // 3, "a part has come")  # type: ignore[misc]
            worker.kill()
            worker.start()
            worker.ready()
        wait_until(
            lambda: {received.headers["webhook-id"] for received in whole(receiver)} >= expected, "all come", within=60
        )
    finally:
        worker.stop()
    bodies: dict[str, set[bytes]] = {}
    for received in whole(receiver):
        Webhook(WEBHOOK_SECRET).verify(received.body, received.headers)
        bodies.setdefault(received.headers["webhook-id"], set()).add(received.body)
    assert bodies.keys() == expected
    assert Counter(map(len, bodies.values())) == {1: BURST}


def test_more_events_than_slots(send: Send, store: Store, receiver: Receiver) -> None:
    """Never more under way than the cap; all arrive, and what had to wait has used up no attempt."""
    lock, under_way, most = threading.Lock(), set[str](), [0]

    def answer(received: ReceivedRequest) -> int:
        with lock:
            under_way.add(received.headers["webhook-id"])
            most[0] = max(most[0], len(under_way))
        pause.wait(0.02)  # a receiver that works a little
        with lock:
            under_way.discard(received.headers["webhook-id"])
        return 204

    pause = threading.Event()
    receiver.answers = answer
    for job in send(receiver.url, 60):
        assert len(ends(store, job, "delivered")["attempts"]) == 1
    assert 1 < most[0] <= 16
