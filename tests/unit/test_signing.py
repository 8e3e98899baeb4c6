"""Standard Webhooks v1 signatures, against the specification and its reference package."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from config.webhook_keys import decode_webhook_secret
from worker.webhooks.signing import TOLERANCE_S, SignatureError, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = decode_webhook_secret(SECRET)
OLD_KEY = b"k" * 24
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STAMP = 1614265330
BODY = b'{"test": 2432232314}'
TOKEN = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

keys = st.binary(min_size=24, max_size=64)
bodies = st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3).map(
    lambda value: json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
)


def headers(signature: str, *, stamp: str = str(STAMP), webhook_id: str = ID) -> dict[str, str]:
    """Return the headers that a receiver gets."""
    return {"webhook-id": webhook_id, "webhook-timestamp": stamp, "webhook-signature": signature}


def signed(*used: bytes, body: bytes = BODY) -> dict[str, str]:
    """Return the headers of a webhook signed with these keys."""
    return headers(sign(used, webhook_id=ID, timestamp=STAMP, body=body))


def test_the_vector_of_the_specification() -> None:
    """The test vector of the specification is signed identically and verified."""
    assert sign([KEY], webhook_id=ID, timestamp=STAMP, body=BODY) == TOKEN
    verify([KEY], headers(TOKEN), BODY, now=STAMP)


@given(key=keys, body=bodies, stamp=st.integers(min_value=0, max_value=2**33))
def test_we_sign_as_the_reference_does(key: bytes, body: bytes, stamp: int) -> None:
    """Any webhook has the same signature as from the reference package."""
    at = datetime.fromtimestamp(stamp, UTC)
    reference = Webhook(key).sign(msg_id=ID, timestamp=at, data=body.decode())
    assert sign([key], webhook_id=ID, timestamp=stamp, body=body) == reference


@given(key=keys, old=keys, body=bodies)
def test_the_reference_accepts_our_signature(key: bytes, old: bytes, body: bytes) -> None:
    """The reference package accepts a header signed with two keys, with either of them."""
    stamp = int(datetime.now(UTC).timestamp())
    made = headers(sign([key, old], webhook_id=ID, timestamp=stamp, body=body), stamp=str(stamp))
    for one in (key, old):
        Webhook(one).verify(body, made, json_parse=False)


@given(key=keys, body=bodies)
def test_we_accept_the_signature_of_the_reference(key: bytes, body: bytes) -> None:
    """A signature of the reference package is verified."""
    reference = Webhook(key).sign(msg_id=ID, timestamp=datetime.fromtimestamp(STAMP, UTC), data=body.decode())
    verify([key], headers(reference), body, now=STAMP)


def test_the_reference_refuses_another_key() -> None:
    """The reference package refuses our signature under another key."""
    stamp = int(datetime.now(UTC).timestamp())
    made = headers(sign([KEY], webhook_id=ID, timestamp=stamp, body=BODY), stamp=str(stamp))
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD_KEY).verify(BODY, made)


@pytest.mark.parametrize("held", [[KEY], [OLD_KEY], [OLD_KEY, KEY], [b"z" * 24, KEY]])
def test_a_key_can_be_changed_without_a_gap(held: list[bytes]) -> None:
    """A webhook is verified if sender and receiver have one key in common."""
    verify(held, signed(OLD_KEY, KEY), BODY, now=STAMP)


def test_every_key_signs_in_order() -> None:
    """The header has one token per key, in order, separated by one space."""
    tokens = sign([KEY, OLD_KEY], webhook_id=ID, timestamp=STAMP, body=BODY).split(" ")
    assert tokens == [sign([key], webhook_id=ID, timestamp=STAMP, body=BODY) for key in (KEY, OLD_KEY)]


@given(st.data())
def test_any_flipped_bit_of_the_body_is_refused(data: st.DataObject) -> None:
    """A body with any one bit flipped is refused."""
    position = data.draw(st.integers(min_value=0, max_value=len(BODY) * 8 - 1))
    changed = bytearray(BODY)
    changed[position // 8] ^= 1 << position % 8
    with pytest.raises(SignatureError):
        verify([KEY], headers(TOKEN), bytes(changed), now=STAMP)


@given(st.data())
def test_any_flipped_bit_of_the_signature_is_refused(data: st.DataObject) -> None:
    """A signature with any one bit flipped is refused."""
    digest = bytearray(base64.b64decode(TOKEN.removeprefix("v1,")))
    position = data.draw(st.integers(min_value=0, max_value=len(digest) * 8 - 1))
    digest[position // 8] ^= 1 << position % 8
    with pytest.raises(SignatureError):
        verify([KEY], headers("v1," + base64.b64encode(digest).decode()), BODY, now=STAMP)


@given(st.data())
def test_any_flipped_bit_of_the_key_is_refused(data: st.DataObject) -> None:
    """A key with any one bit flipped does not verify."""
    position = data.draw(st.integers(min_value=0, max_value=len(KEY) * 8 - 1))
    changed = bytearray(KEY)
    changed[position // 8] ^= 1 << position % 8
    with pytest.raises(SignatureError):
        verify([bytes(changed)], headers(TOKEN), BODY, now=STAMP)


@pytest.mark.parametrize("change", [{"webhook_id": "msg_other"}, {"stamp": str(STAMP + 1)}])
def test_id_and_time_are_signed_too(change: dict[str, str]) -> None:
    """A webhook under another id or timestamp is refused."""
    with pytest.raises(SignatureError):
        verify([KEY], headers(TOKEN, **change), BODY, now=STAMP)


@pytest.mark.parametrize("away", [TOLERANCE_S + 1, -TOLERANCE_S - 1, 1e12])
def test_old_and_early_webhooks_are_refused(away: float) -> None:
    """A webhook outside of the tolerance of five minutes is refused."""
    with pytest.raises(SignatureError, match="timestamp"):
        verify([KEY], headers(TOKEN), BODY, now=STAMP + away)


@pytest.mark.parametrize("away", [TOLERANCE_S, -TOLERANCE_S])
def test_five_minutes_are_tolerated(away: float) -> None:
    """A timestamp that is off by exactly five minutes is accepted."""
    verify([KEY], headers(TOKEN), BODY, now=STAMP + away)


MALFORMED = {
    "nothing": {},
    "no id": {"webhook-timestamp": str(STAMP), "webhook-signature": TOKEN},
    "no time": {"webhook-id": ID, "webhook-signature": TOKEN},
    "no signature": {"webhook-id": ID, "webhook-timestamp": str(STAMP)},
    "empty signature": headers(""),
    "spaces": headers("   "),
    "no comma": headers("v1"),
    "bare token": headers(TOKEN.removeprefix("v1,")),
    "another version": headers(TOKEN.replace("v1,", "v2,")),
    "asymmetric": headers(TOKEN.replace("v1,", "v1a,")),
    "another spelling of the time": headers(TOKEN, stamp=f"+{STAMP}"),
    "time with a space": headers(TOKEN, stamp=f" {STAMP}"),
    "not base64": headers("v1,%%%"),
    "not ASCII": headers("v1,ü\N{SNOWMAN}"),
    "cut": headers(TOKEN[:-5]),
    "half a surrogate pair in the signature": headers("v1,\udcff"),
    "half a surrogate pair in the id": headers(TOKEN, webhook_id="\udcff"),
    "time as text": headers(TOKEN, stamp="yesterday"),
    "empty time": headers(TOKEN, stamp=""),
    "fraction": headers(TOKEN, stamp=f"{STAMP}.5"),
    "infinite time": headers(TOKEN, stamp="inf"),
    "astronomic time": headers(TOKEN, stamp="9" * 400),
    "longer than Python reads": headers(TOKEN, stamp="9" * 5000),
}


@pytest.mark.parametrize("given_headers", MALFORMED.values(), ids=MALFORMED)
def test_malformed_headers_raise_a_signature_error(given_headers: dict[str, str]) -> None:
    """Malformed headers raise a SignatureError and nothing else."""
    with pytest.raises(SignatureError):
        verify([KEY], given_headers, BODY, now=STAMP + 0.5)


@given(
    made=st.fixed_dictionaries({f"webhook-{name}": st.text(max_size=20) for name in ("id", "timestamp", "signature")}),
    body=st.binary(max_size=20),
)
def test_no_header_text_raises_anything_else(made: dict[str, str], body: bytes) -> None:
    """No text in the headers raises anything except a SignatureError."""
    with pytest.raises(SignatureError):
        verify([KEY], made, body, now=STAMP + 0.5)


def test_an_unknown_version_beside_the_right_one_does_no_harm() -> None:
    """A valid token is found among tokens of unknown versions and double spaces."""
    verify([KEY], headers(f"v1a,AAAA  v9,x {TOKEN}"), BODY, now=STAMP)


def test_without_keys_nothing_is_valid() -> None:
    """An empty list of keys verifies nothing and signs nothing."""
    with pytest.raises(SignatureError):
        verify([], headers(TOKEN), BODY, now=STAMP)
    assert sign([], webhook_id=ID, timestamp=STAMP, body=BODY) == ""


def test_errors_do_not_contain_the_signature() -> None:
    """The error for a wrong signature does not contain the expected one."""
    with pytest.raises(SignatureError) as raised:
        verify([OLD_KEY], headers(TOKEN), BODY, now=STAMP)
    assert TOKEN not in str(raised.value)
    assert str(raised.value) == "no signature is valid"


@pytest.mark.parametrize(
    "text", ["", "secret", "whsec_", "whsec_!!!!", "whsec_" + "YWJj", "whsec_" + base64.b64encode(b"x" * 65).decode()]
)
def test_an_invalid_secret_is_refused_without_quoting_it(text: str) -> None:
    """An invalid secret is refused with an error that does not quote it."""
    with pytest.raises(ValueError, match=r"^must ") as raised:
        decode_webhook_secret(text)
    body = text.removeprefix("whsec_")
    assert not body or body not in str(raised.value)


@given(keys)
def test_secrets_may_be_unpadded(key: bytes) -> None:
    """A secret without base64 padding is the same key."""
    text = "whsec_" + base64.b64encode(key).decode()
    assert decode_webhook_secret(text) == decode_webhook_secret(text.rstrip("=")) == key
