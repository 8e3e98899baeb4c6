"""Standard Webhooks v1a signatures (ed25519), against the vector of Svix that the specification quotes."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from config.webhook_keys import new_webhook_secret, public_key, signing_key, verifying_key
from worker.webhooks.signing import MAX_TOKENS, SignatureError, sign, verify

SECRET = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
TOKEN = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
STAMP = 1614265330
BODY = b'{"test": 2432232314}'
HMAC = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
KEY = signing_key(SECRET)

seeds = st.binary(min_size=32, max_size=32)


def headers(signature: str) -> dict[str, str]:
    """Return the headers that a receiver gets."""
    return {"webhook-id": ID, "webhook-timestamp": str(STAMP), "webhook-signature": signature}


def flipped(data: st.DataObject, content: bytes) -> bytes:
    """Return the bytes with one bit changed."""
    position = data.draw(st.integers(min_value=0, max_value=len(content) * 8 - 1))
    changed = bytearray(content)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


def test_the_vector() -> None:
    """The test vector of Svix is signed identically and verified with its public key."""
    assert sign([KEY], webhook_id=ID, timestamp=STAMP, body=BODY) == TOKEN
    verify([verifying_key(PUBLIC)], headers(TOKEN), BODY, now=STAMP)


def test_the_public_key_is_that_of_the_secret() -> None:
    """The public key is derived from a secret, with or without its public half."""
    assert isinstance(KEY, Ed25519PrivateKey)
    assert public_key(KEY) == PUBLIC
    seed = base64.b64decode(SECRET.removeprefix("whsk_"))[:32]
    short = signing_key("whsk_" + base64.b64encode(seed).decode())
    assert sign([short], webhook_id=ID, timestamp=STAMP, body=BODY) == TOKEN


def test_both_kinds_sign_in_one_header() -> None:
    """A header holds an HMAC and an ed25519 token, and either key verifies it."""
    made = headers(sign([HMAC, KEY], webhook_id=ID, timestamp=STAMP, body=BODY))
    assert [token.partition(",")[0] for token in made["webhook-signature"].split(" ")] == ["v1", "v1a"]
    for held in (HMAC, KEY, verifying_key(PUBLIC)):
        verify([b"another-key-another-key-12", held], made, BODY, now=STAMP)


@given(seed=seeds, body=st.binary(max_size=99), stamp=st.integers(min_value=0, max_value=2**33))
def test_a_public_key_is_enough_to_verify(seed: bytes, body: bytes, stamp: int) -> None:
    """A public key verifies any webhook signed with its private key."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    made = headers(sign([key], webhook_id=ID, timestamp=stamp, body=body)) | {"webhook-timestamp": str(stamp)}
    verify([verifying_key(public_key(key))], made, body, now=stamp)


@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    """A webhook with one bit flipped in body, signature, id or public key is refused."""
    signature = base64.b64decode(TOKEN.removeprefix("v1a,"))
    text = flipped(data, TOKEN.encode()).decode("latin-1")
    for changed, body in (
        (headers(TOKEN), flipped(data, BODY)),
        (headers("v1a," + base64.b64encode(flipped(data, signature)).decode()), BODY),
        (headers(text), BODY),
        (headers(TOKEN) | {"webhook-id": flipped(data, ID.encode()).decode("latin-1")}, BODY),
    ):
        with pytest.raises(SignatureError):
            verify([KEY], changed, body, now=STAMP)
    other = "whpk_" + base64.b64encode(flipped(data, base64.b64decode(PUBLIC.removeprefix("whpk_")))).decode()
    with pytest.raises(SignatureError):
        verify([verifying_key(other)], headers(TOKEN), BODY, now=STAMP)


def test_one_signature_has_one_spelling() -> None:
    """Another base64 spelling of a valid signature is refused."""
    with pytest.raises(SignatureError):
        verify([KEY], headers(TOKEN.replace("Ag==", "Ah==")), BODY, now=STAMP)


def test_a_public_key_is_no_shared_secret() -> None:
    """A public key used as a shared secret does not sign a valid webhook."""
    raw = base64.b64decode(PUBLIC.removeprefix("whpk_"))
    forged = sign([raw], webhook_id=ID, timestamp=STAMP, body=BODY)
    for text in (forged, forged.replace("v1,", "v1a,")):
        with pytest.raises(SignatureError):
            verify([verifying_key(PUBLIC)], headers(text), BODY, now=STAMP)


def test_only_the_first_tokens_are_tried() -> None:
    """A valid token behind more than MAX_TOKENS others is not tried."""
    with pytest.raises(SignatureError):
        verify([KEY], headers("v1a,AAAA " * MAX_TOKENS + TOKEN), BODY, now=STAMP)


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
def test_a_new_key_signs_and_verifies(kind: str) -> None:
    """A new key of either kind signs, verifies, and differs from the next one."""
    first, second = (new_webhook_secret("hmac" if kind == "hmac" else "ed25519") for _ in range(2))
    assert first != second
    made = headers(sign([signing_key(first)], webhook_id=ID, timestamp=STAMP, body=BODY))
    verify([verifying_key(first)], made, BODY, now=STAMP)


@pytest.mark.parametrize(
    "text",
    [
        "whsk_",
        "whsk_!!!!",
        "whsk_" + base64.b64encode(b"x" * 31).decode(),
        "whsk_" + base64.b64encode(b"x" * 64).decode(),
        "whpk_" + base64.b64encode(b"x" * 31).decode(),
        "whpk_%",
        "key_abc",
    ],
)
def test_an_invalid_key_is_refused_without_quoting_it(text: str) -> None:
    """An invalid key is refused with an error that does not quote it."""
    with pytest.raises(ValueError, match=r"^(must|holds) ") as raised:
        verifying_key(text)
    body = text[5:]
    assert not body or body not in str(raised.value)


def test_a_public_key_does_not_sign() -> None:
    """A public key in the place of a signing key is refused with the valid prefixes."""
    with pytest.raises(ValueError, match="must start with whsec_ or whsk_"):
        signing_key(PUBLIC)
