"""The package's receiver, with webhooks as workers sign them."""

from __future__ import annotations

import asyncio
import json
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.webhook_keys import SigningKey, decode_webhook_secret, public_key
from photogpt_client import RedisUnavailable
from photogpt_client.webhooks import (
    AsyncReceiver,
    AsyncRedisMemory,
    Receiver,
    RedisMemory,
    WebhookBusy,
    WebhookRefused,
)
from tests.running import WEBHOOK_SECRET
from tests.waiting import wait_until
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import free_port
from worker.webhooks.signing import sign

OTHER_SECRET = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA=="
KEY = decode_webhook_secret(WEBHOOK_SECRET)
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"


NO_ID = b'{"type": "job.succeeded", "timestamp": "", "data": {"id": null}}'
INFINITE = b'{"type": "job.succeeded", "timestamp": "", "sequence": 1e999, "data": {"id": "j1"}}'


def body_of(sequence: int = 4, kind: str = "job.succeeded") -> bytes:
    """Return the body of an event of one job."""
    event = {"type": kind, "timestamp": "2026-11-28T18:20:09.000Z", "sequence": sequence, "data": {"id": "j1"}}
    return json.dumps(event).encode()


def headers_of(body: bytes, key: SigningKey = KEY, *, webhook_id: str = "msg_1", age: float = 0) -> dict[str, str]:
    """Return the headers of a webhook as a worker signs it."""
    stamp = int(time.time() - age)
    signature = sign([key], webhook_id=webhook_id, timestamp=stamp, body=body)
    return {"Webhook-Id": webhook_id, "webhook-timestamp": str(stamp), "webhook-signature": signature}


def test_an_event_is_received_once() -> None:
    """An event that comes again is received once, and after `forget` once more."""
    receiver, body = Receiver([OTHER_SECRET, WEBHOOK_SECRET]), body_of()
    event = receiver.receive(body, headers_of(body))
    assert event is not None
    assert (event.id, event.type, event.outcome["id"], event.is_late) == ("msg_1", "job.succeeded", "j1", False)
    assert receiver.receive(body, headers_of(body)) is None
    receiver.forget(event)
    in_bytes: Any = {name.encode(): value.encode() for name, value in headers_of(body).items()}
    assert receiver.receive(body, in_bytes) is not None
    text: Any = body.decode()
    with pytest.raises(TypeError, match="exact bytes"):
        receiver.receive(text, headers_of(body))


def test_a_late_event_is_marked() -> None:
    """An event that comes after a later one of its job says so."""
    receiver = Receiver([WEBHOOK_SECRET])
    bodies = [body_of(2, "job.submitted"), body_of(4), body_of(3, "job.running")]
    events = [receiver.receive(body, headers_of(body, webhook_id=f"msg_{n}")) for n, body in enumerate(bodies)]
    assert [event and event.is_late for event in events] == [False, False, True]


def test_an_event_that_is_received_again_is_not_late() -> None:
    """An event whose handling failed is no later one than itself."""
    receiver, body = Receiver([WEBHOOK_SECRET]), body_of()
    with pytest.raises(KeyError), receiver.handling(body, headers_of(body)):
        raise KeyError("the handler failed")
    event = receiver.receive(body, headers_of(body))
    assert event is not None
    assert not event.is_late


@pytest.fixture
def memories(valkey: EmbeddedValkey, client: redis.Redis) -> Iterator[list[RedisMemory]]:
    """Two memories on one Redis, by its URL and by a client that does not decode."""
    made = [RedisMemory(valkey.url), RedisMemory(redis.Redis.from_url(valkey.url))]
    yield made
    for memory in made:
        memory.close()


def test_processes_share_a_memory_in_redis(memories: list[RedisMemory], client: redis.Redis) -> None:
    """Of several receivers one gets each event, the others learn that it is being handled or was, and order is seen."""
    first, second = (Receiver([WEBHOOK_SECRET], memory=memory) for memory in memories)
    last, earlier = body_of(4), body_of(3, "job.running")
    headers = headers_of(last)
    with first.handling(last, headers) as event:
        assert event is not None
        with pytest.raises(WebhookBusy):
            second.receive(last, headers)
    assert second.receive(last, headers) is None
    late = second.receive(earlier, headers_of(earlier, webhook_id="msg_2"))
    assert late is not None
    assert (event.is_late, late.is_late) == (False, True)
    second.forget(late)
    assert first.receive(earlier, headers_of(earlier, webhook_id="msg_2")) is not None
    assert all(client.ttl(key) > 86_400 for key in client.scan_iter("photogpt-receiver:*"))


KILLED = """
import os, sys
from photogpt_client.webhooks import Receiver, RedisMemory
url, secret, body, *headers = sys.argv[1:]
receiver = Receiver([secret], memory=RedisMemory(url, claim_s=0.2))
with receiver.handling(body.encode(), dict(zip(headers[::2], headers[1::2]))) as event:
    os._exit(9 if event else 1)
"""


def test_the_event_of_a_killed_process_is_received_again(valkey: EmbeddedValkey, memories: list[RedisMemory]) -> None:
    """An event whose process was killed while it handled it is received again once the claim has ended."""
    body = body_of()
    headers = headers_of(body)
    given = [text for pair in headers.items() for text in pair]
    command = [sys.executable, "-c", KILLED, valkey.url, WEBHOOK_SECRET, body.decode(), *given]
    assert subprocess.run(command, check=False, timeout=30).returncode == 9
    receiver = Receiver([WEBHOOK_SECRET], memory=memories[0])

    def is_received() -> bool:
        try:
            return receiver.receive(body, headers) is not None
        except WebhookBusy:
            return False

    wait_until(is_received, "the claim ends")


def test_asyncio_receives_with_and_without_redis(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    """The receiver for asyncio returns each event once; a failed one comes again, one that is handled is busy."""
    body = body_of()
    headers = headers_of(body)

    async def receive(receiver: AsyncReceiver) -> None:
        with pytest.raises(KeyError):
            async with receiver.handling(body, headers):
                raise KeyError("the handler failed")
        async with receiver.handling(body, headers) as event:
            assert event is not None
            with pytest.raises(WebhookBusy):
                await receiver.receive(body, headers)
        assert await receiver.receive(body, headers) is None
        await receiver.forget(event)
        again = await receiver.receive(body, headers)
        assert again is not None
        assert not again.is_late
        async with receiver.handling(body, headers) as nothing:
            assert nothing is None

    async def receive_with_redis() -> None:
        memory = AsyncRedisMemory(valkey.url)
        await receive(AsyncReceiver([WEBHOOK_SECRET], memory=memory))
        await memory.close()

    asyncio.run(receive(AsyncReceiver([WEBHOOK_SECRET])))
    asyncio.run(receive_with_redis())


def test_a_memory_without_redis_is_an_error_to_retry() -> None:
    """While the Redis of a memory does not answer, an event is neither received nor lost: the error is retryable."""
    receiver = Receiver([WEBHOOK_SECRET], memory=RedisMemory(f"redis://127.0.0.1:{free_port()}/0"))
    with pytest.raises(RedisUnavailable) as unavailable:
        receiver.receive(body_of(), headers_of(body_of()))
    assert unavailable.value.retryable


def test_an_ed25519_signature_is_verified() -> None:
    """A webhook that is signed with a private key is verified with the public one, and with no other."""
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    body = body_of()
    assert Receiver([public_key(key)]).receive(body, headers_of(body, key)) is not None
    with pytest.raises(WebhookRefused):
        Receiver([public_key(other)]).receive(body, headers_of(body, key))


def test_an_ed25519_signature_has_one_spelling() -> None:
    """A valid ed25519 signature under another version, or in another spelling of base64, is refused."""
    key, body = Ed25519PrivateKey.generate(), body_of()
    good = headers_of(body, key)
    token = good["webhook-signature"].removeprefix("v1a,")
    last = ALPHABET[ALPHABET.index(token[-3]) + 1]  # four of its six bits lie behind the signature's end
    for signature in (f"v1,{token}", f"v1a,{token[:-3]}{last}=="):
        with pytest.raises(WebhookRefused):
            Receiver([public_key(key)]).receive(body, good | {"webhook-signature": signature})


def test_what_was_not_signed_is_refused() -> None:
    """A changed body, another secret, an old timestamp, a missing header and a malformed signature are refused."""
    receiver, body = Receiver([WEBHOOK_SECRET]), body_of()
    good = headers_of(body)
    cases: list[tuple[bytes, Any]] = [
        (body_of(3), good),
        (body, headers_of(body, decode_webhook_secret(OTHER_SECRET))),
        (body, headers_of(body, age=400)),
        (body, good | {"webhook-timestamp": f" {good['webhook-timestamp']}"}),
        (body, {name: value for name, value in good.items() if name != "Webhook-Id"}),
        (body, good | {"webhook-signature": "v1,%%% v1 v2,YQ== \ud800"}),
        (body, dict.fromkeys(good, 7)),
        (body, {}),
        (b"[]", headers_of(b"[]")),
        (NO_ID, headers_of(NO_ID)),
        (INFINITE, headers_of(INFINITE)),
        (b"[" * 20_000, headers_of(b"[" * 20_000)),
    ]
    for received, headers in cases:
        with pytest.raises(WebhookRefused):
            receiver.receive(received, headers)


def test_a_wrong_key_is_refused_without_being_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that cannot be used is refused at once, and a public key without cryptography says what to install."""
    for key in ("secret", "whsec_%%%", "whsec_", "whpk_YQ=="):
        with pytest.raises(ValueError, match="key") as refused:
            Receiver([key])
        assert "%%%" not in str(refused.value)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ImportError, match="v1a"):
        Receiver([public_key(Ed25519PrivateKey.generate())])
