"""Receives webhooks: verifies their signatures, remembers their ids, and says which are out of order.

receiver = Receiver(["whsec_…"])

def hook(body: bytes, headers: Mapping[str, str]) -> int:
    try:
        event = receiver.receive(body, headers)
    except WebhookRefused:
        return 401
    if event is not None:              # None: it was received before
        ...
    return 204
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from photogpt_client.errors import PhotoGPTError
from photogpt_client.outcomes import Outcome

TOLERANCE_S = 300
MAX_SIGNATURES = 64  # tried for one header
MAX_REMEMBERED = 100_000
SECRET, PUBLIC = "whsec_", "whpk_"

Check = Callable[[bytes, str], bool]


class WebhookRefused(PhotoGPTError, ValueError):
    """A webhook has no valid signature, is too old, or is malformed. Answer 401."""


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A webhook that was verified."""

    #: `webhook-id`: the same for every attempt.
    id: str
    #: `job.succeeded` and others.
    type: str
    #: RFC 3339 text in UTC.
    timestamp: str
    #: Of the events of one job: a higher one came later.
    sequence: int
    outcome: Outcome
    #: The whole body.
    body: Mapping[str, Any]
    #: True if a later event of the same job was received before.
    is_late: bool = False


class Headers(Protocol):
    """The headers of a request, as any framework holds them."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return names and values."""
        ...


class Memory(Protocol):
    """Remembers which webhooks were received. Use your database, if several processes receive."""

    def add(self, webhook_id: str) -> bool:
        """Remember an id; return whether it is new. Two calls at once must not both return True."""
        ...

    def remove(self, webhook_id: str) -> None:
        """Forget an id, so that the next attempt is received again."""
        ...

    def advance(self, job_id: str, sequence: int) -> bool:
        """Remember the highest sequence of a job; return whether this one is higher."""
        ...


class LocalMemory:
    """Remembers the last 100,000 ids and jobs in this process."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._lock = threading.Lock()
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._sequences: OrderedDict[str, int] = OrderedDict()

    def add(self, webhook_id: str) -> bool:
        """Remember an id; return whether it is new."""
        with self._lock:
            is_new = webhook_id not in self._ids
            _remember(self._ids, webhook_id, None)
            return is_new

    def remove(self, webhook_id: str) -> None:
        """Forget an id."""
        with self._lock:
            self._ids.pop(webhook_id, None)

    def advance(self, job_id: str, sequence: int) -> bool:
        """Remember the highest sequence of a job; return whether this one is higher."""
        with self._lock:
            before = self._sequences.get(job_id, 0)
            _remember(self._sequences, job_id, max(before, sequence))
            return sequence > before


class Receiver:
    """Verifies webhooks, and returns each event once."""

    def __init__(self, keys: Iterable[str], *, memory: Memory | None = None) -> None:
        """Prepare the keys.

        Args:
            keys: `whsec_…` (v1) and `whpk_…` (v1a); during a rotation the old and the new one.
            memory: default: a `LocalMemory`.

        Raises:
            ValueError: a key cannot be used.
            ImportError: a `whpk_…` needs cryptography.
        """
        self._checks = [_check_of(key) for key in keys]
        self._memory = memory or LocalMemory()

    def receive(self, body: bytes, headers: Headers) -> WebhookEvent | None:
        """Return the event of a webhook, or None if it was received before. Both are to be answered with 2xx.

        Args:
            body: the exact bytes of the request.
            headers: of the request.

        Raises:
            WebhookRefused: the signature is not valid.
        """
        event = self.verify(body, headers)
        if not self._memory.add(event.id):
            return None
        is_late = not self._memory.advance(event.outcome["id"], event.sequence)
        return WebhookEvent(event.id, event.type, event.timestamp, event.sequence, event.outcome, event.body, is_late)

    def verify(self, body: bytes, headers: Headers) -> WebhookEvent:
        """Return the event of a webhook, also where it was received before.

        Raises:
            WebhookRefused: the signature is not valid.
        """
        webhook_id = _verified_id(self._checks, body, headers)
        return _event(webhook_id, body)

    def forget(self, event: WebhookEvent) -> None:
        """Receive an event again: it could not be handled, and the answer is an error."""
        self._memory.remove(event.id)


def _verified_id(checks: Iterable[Check], body: bytes, headers: Headers) -> str:
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        webhook_id, stamp, given = (lower[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
        timestamp = int(stamp)
        message = b".".join((webhook_id.encode(), stamp.encode(), body))
    except (KeyError, ValueError):
        raise WebhookRefused("a webhook header is missing or malformed") from None
    if stamp != str(timestamp) or abs(time.time() - timestamp) > TOLERANCE_S:
        raise WebhookRefused("the timestamp is malformed or too far from now")
    tokens = given.split(" ")[:MAX_SIGNATURES]
    if not any(check(message, token) for check in checks for token in tokens):
        raise WebhookRefused("no signature is valid")
    return webhook_id


def _event(webhook_id: str, body: bytes) -> WebhookEvent:
    try:
        found = json.loads(body)
        outcome = found["data"]
        texts = (str(found["type"]), str(found["timestamp"]))
        sequence = int(found.get("sequence", 0))
        str(outcome["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise WebhookRefused("the body is no event") from None
    return WebhookEvent(webhook_id, *texts, sequence, cast("Outcome", outcome), found)


def _check_of(key: str) -> Check:
    """Return how a key checks a signature. No error quotes the key."""
    prefix = SECRET if key.startswith(SECRET) else PUBLIC if key.startswith(PUBLIC) else ""
    try:
        text = key.removeprefix(prefix)
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)  # the padding may be left out
    except binascii.Error:
        raise ValueError("keys: must be whsec_… or whpk_… with base64 behind it") from None
    if not prefix or not raw:
        raise ValueError("keys: must be whsec_… (a shared secret) or whpk_… (a public key)")
    return _asymmetric(raw) if prefix == PUBLIC else _symmetric(raw)


def _symmetric(secret: bytes) -> Check:
    def check(message: bytes, token: str) -> bool:
        valid = "v1," + base64.b64encode(hmac.digest(secret, message, hashlib.sha256)).decode()
        return hmac.compare_digest(valid.encode(), token.encode("utf-8", "replace"))

    return check


def _asymmetric(public: bytes) -> Check:
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - an extra
    except ImportError:
        raise ImportError("a whpk_… key needs cryptography: pip install 'photogpt-client[v1a]'") from None
    key = Ed25519PublicKey.from_public_bytes(public)

    def check(message: bytes, token: str) -> bool:
        version, _, text = token.partition(",")
        try:
            signature = base64.b64decode(text, validate=True)
            key.verify(signature, message)
        except (ValueError, InvalidSignature):
            return False
        return version == "v1a" and base64.b64encode(signature).decode() == text

    return check


def _remember(remembered: OrderedDict[str, Any], name: str, value: object) -> None:
    remembered[name] = value
    remembered.move_to_end(name)
    if len(remembered) > MAX_REMEMBERED:
        remembered.popitem(last=False)
