"""One attempt at a webhook: signed, bounded, and its answer given a name."""

from __future__ import annotations

import time
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING

import requests
from urllib3.exceptions import HTTPError

from config.secrets import signing_key
from worker import __version__
from worker.bounded_http import DeadlineExceeded, bounded_session, call_within, cause_of, retry_after_of
from worker.domain.errors import DeliveryError
from worker.webhooks.guard import AddressRefused, GuardedAdapter
from worker.webhooks.signing import sign

if TYPE_CHECKING:
    from config.settings import Settings
    from worker.domain.delivery import Delivery

KEPT_ANSWER_BYTES = 1024
GONE = 410  # Standard Webhooks: do not come again


@dataclass(frozen=True, slots=True)
class Taken:
    """The receiver took it."""

    status: int
    duration_s: float


class WebhookSender:
    """Sends webhooks over kept-alive, guarded connections."""

    def __init__(self, settings: Settings) -> None:
        """Take secrets, limits and allowed networks from the settings."""
        self._keys = [signing_key(secret.get_secret_value()) for secret in settings.webhook_secrets]
        self._timeout = (settings.webhook_connect_timeout_s, settings.webhook_read_timeout_s)
        self._deadline_s = settings.webhook_deadline_s
        self._session = bounded_session(
            {
                f"{scheme}://": GuardedAdapter(
                    scheme, settings.webhook_allow_networks, pool_size=settings.call_concurrency
                )
                for scheme in ("https", "http")
            }
        )

    def send(self, delivery: Delivery, *, at: float) -> Taken:
        """Try once.

        Args:
            delivery: what goes out; its body is signed and sent as it is stored.
            at: epoch seconds of this attempt.

        Raises:
            DeliveryError: the receiver did not take it; says whether to go on.
        """
        body = delivery.body.encode()
        started = time.monotonic()
        try:
            with call_within(self._deadline_s):
                response = self._session.post(
                    delivery.url,
                    data=body,
                    headers=self._headers(delivery, int(at), body),
                    timeout=self._timeout,
                    allow_redirects=False,
                    stream=True,
                )
                answer = _begin_of(response)
        except requests.RequestException as error:
            raise _not_reached(error) from error
        except OSError as error:
            raise DeliveryError(f"the connection broke: {error}", kind="connection_error") from error
        if 200 <= response.status_code < 300:
            return Taken(response.status_code, time.monotonic() - started)
        raise _not_taken(response, answer)

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _headers(self, delivery: Delivery, timestamp: int, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"photogpt-worker/{__version__}",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
        }
        if self._keys:
            headers["webhook-signature"] = sign(self._keys, webhook_id=delivery.id, timestamp=timestamp, body=body)
        return headers


def _begin_of(response: requests.Response) -> bytes:
    """Read what is kept of an answer. Its head has decided; a body that breaks off changes nothing."""
    try:
        return response.raw.read(KEPT_ANSWER_BYTES, decode_content=False) or b""
    except (OSError, ValueError, HTTPError, HTTPException):
        return b""
    finally:
        response.close()


def _not_taken(response: requests.Response, answer: bytes) -> DeliveryError:
    status = response.status_code
    text = " ".join(answer.decode("utf-8", "replace").split())[:200]
    said = f"the receiver says {status}" + (f": {text}" if text else "")
    if 300 <= status < 400:
        return DeliveryError(f"{said}; redirects are not followed", kind="redirect", status=status)
    return DeliveryError(
        said,
        kind="gone" if status == GONE else f"http_{status // 100}xx",
        status=status,
        retry_after=retry_after_of(response.headers),
        final=status == GONE,
    )


def _not_reached(error: requests.RequestException) -> DeliveryError:
    if isinstance(error, AddressRefused):
        return DeliveryError(str(error), kind="address_refused", final=True)
    if isinstance(error, DeadlineExceeded | requests.Timeout):
        return DeliveryError(f"the receiver did not answer in time: {cause_of(error)}", kind="timeout")
    if isinstance(error, requests.exceptions.SSLError):
        return DeliveryError(f"TLS with the receiver failed: {cause_of(error)}", kind="tls_error")
    if isinstance(error, requests.exceptions.InvalidURL):
        return DeliveryError(f"the URL cannot be used: {error}", kind="invalid_url", final=True)
    return DeliveryError(f"the receiver cannot be reached: {cause_of(error)}", kind="connection_error")
