"""Planted secrets appear in no log, event, result or key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import image_request
from tests.contract.peers import Conversation, Peer
from tests.running import Receiver, WorkerProcess
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess

API_KEY = "planted-api-key-7f3a"
WEBHOOK_SECRET = "whsec_cGxhbnRlZC13ZWJob29rLXNlY3JldC0wMDAw"
URL_TOKEN = "planted-url-token-19c2"
PROMPT = "planted prompt 5e61"


@pytest.fixture
def secretive(
    client: redis.Redis, sandbox: SandboxProcess, worker_env: dict[str, str], tmp_path: Path
) -> Iterator[WorkerProcess]:
    """A worker with planted secrets that hides prompts and logs everything."""
    sandbox.control.keys(add=[API_KEY])
    env = worker_env | {
        "PHOTOGPT_API_KEY": API_KEY,
        "PHOTOGPT_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        "PHOTOGPT_HIDE_PROMPTS": "true",
        "PHOTOGPT_LOG_LEVEL": "DEBUG",
    }
    running = WorkerProcess(env, tmp_path / "worker.log").ready()
    yield running
    running.stop()


def everything(client: redis.Redis) -> dict[str, str]:
    """Return everything that Redis holds, as text."""
    found = {}
    for key in client.scan_iter(count=1000):
        kind: Any = client.type(key)
        if kind == "string":
            found[key] = str(client.get(key))
        elif kind == "hash":
            found[key] = str(client.hgetall(key))
        elif kind == "stream":
            found[key] = str(client.xrange(key))
    return found


def test_no_secret_leaks(
    producer: Celery, client: redis.Redis, sandbox: SandboxProcess, receiver: Receiver, secretive: WorkerProcess
) -> None:
    """Key, webhook secret, webhook path and hidden prompt are in no log, event, result or key of Celery's."""
    events: list[str] = []
    with producer.connection_for_read() as connection:
        listener = producer.events.Receiver(connection, handlers={"*": lambda event: events.append(str(event))})
        thread = threading.Thread(target=lambda: listener.capture(limit=None, timeout=20), daemon=True)
        thread.start()
        sandbox.control.faults([{"match": "triggerImageGenerationJob", "action": {"unauthorized": True}, "count": 1}])
        url = f"{receiver.url}/{URL_TOKEN}"
        for end in ("success", "failed"):
            kwargs = {"request": image_request(end=end) | {"prompt": PROMPT}, "webhook_url": url}
            producer.send_task("photogpt.generate_image", kwargs=kwargs)
        wait_until(lambda: len(receiver.requests) == 2, "both webhooks have arrived", within=60)
        wait_until(lambda: any("task-succeeded" in event for event in events), "Celery's events have arrived")
        listener.should_stop = True
        thread.join()

    for secret in (API_KEY, WEBHOOK_SECRET, WEBHOOK_SECRET.removeprefix("whsec_"), URL_TOKEN, PROMPT):
        assert secret not in secretive.text()
        assert not [event for event in events if secret in event]
    for secret in (API_KEY, WEBHOOK_SECRET, WEBHOOK_SECRET.removeprefix("whsec_")):
        assert not [key for key, text in everything(client).items() if secret in text]
    elsewhere = {key: text for key, text in everything(client).items() if not key.startswith("photogpt:")}
    assert not [key for key, text in elsewhere.items() if PROMPT in text or URL_TOKEN in text]


def test_a_broken_answer_does_not_quote_the_url(
    producer: Celery, sandbox: SandboxProcess, secretive: WorkerProcess
) -> None:
    """A receiver with a broken answer puts neither the webhook URL nor a traceback into the log."""
    del sandbox

    def breaks_off(conversation: Conversation) -> None:
        conversation.say(b"HTTP/1.1 200 OK\r\nContent-Ty")
        conversation.sock.close()

    with Peer(breaks_off) as peer:
        kwargs = {"request": image_request(), "webhook_url": f"{peer.url}/hook?token={URL_TOKEN}"}
        producer.send_task("photogpt.generate_image", kwargs=kwargs)
        wait_until(lambda: "webhook.delivered" in secretive.text(), "the webhook is delivered", within=20)

    assert URL_TOKEN not in secretive.text()
    assert "Traceback" not in secretive.text()
