"""One attempt at a webhook: signed, bounded, and its answer given a name."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from config.secrets import signing_key
from worker import __version__
from worker.domain.errors import DeliveryError
from worker.http.deadline import DeadlineExceeded, bounded_session, call_within, cause_of, retry_after_of
from worker.webhooks.guard import AddressRefused, ClosedAdapter, GuardedAdapter, NotResolved, ProxiedAdapter
from worker.webhooks.signing import sign

if TYPE_CHECKING:
    from config.settings import Settings
    from worker.domain.delivery import Delivery

KEPT_ANSWER_BYTES = 1024
GONE = 410  # Standard Webhooks: do not come again
PROXY_LOGIN = 407
CONTROL = "webhook-delivery"  # Svix' header by which a receiver ends the attempts: abort-message, disable


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver took it."""

    status: int
    duration_s: float
    #: How the answer begins, as the history keeps it.
    answer: dict[str, str] = field(default_factory=dict)
    #: The receiver wants nothing more.
    disable: bool = False


class WebhookSender:
    """Sends webhooks over kept-alive, guarded connections."""

    def __init__(self, settings: Settings) -> None:
        """Take secrets, limits and allowed networks from the settings."""
        self._keys = [signing_key(secret.get_secret_value()) for secret in settings.webhook_secrets]
        self._timeout = (settings.webhook_connect_timeout_s, settings.webhook_read_timeout_s)
        self._deadline_s = settings.webhook_deadline_s
        proxy = settings.webhook_proxy_url.get_secret_value() if settings.webhook_proxy_url else None
        self._session = bounded_session(
            {f"{scheme}://": _adapter(scheme, settings, proxied=proxy is not None) for scheme in ("https", "http")}
        )
        if proxy is not None:
            self._session.proxies = {"http": proxy, "https": proxy}

    def send(self, delivery: Delivery, *, at: float) -> Accepted:
        """Try once.

        Args:
            delivery: what goes out; its body is signed and sent as it is stored.
            at: epoch seconds of this attempt.

        Raises:
            DeliveryError: the receiver did not take it; says whether to go on.
        """
        started = time.monotonic()
        try:
            return self._send(delivery, at, started)
        except DeliveryError as error:
            error.duration_s = time.monotonic() - started
            raise

    def _send(self, delivery: Delivery, at: float, started: float) -> Accepted:
        body = delivery.body.encode()
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
            took = time.monotonic() - started
            return Accepted(response.status_code, took, _kept(answer), _control(response) == "disable")
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


def _adapter(scheme: str, settings: Settings, *, proxied: bool) -> HTTPAdapter:
    """Guard what is called; behind a proxy nobody here knows which address that is, so that the proxy has to."""
    if scheme not in settings.webhook_schemes:
        return ClosedAdapter(f"webhooks do not go to {scheme}:// here (PHOTOGPT_WEBHOOK_SCHEMES)")
    if proxied:
        return ProxiedAdapter(
            settings.webhook_ports, settings.webhook_allow_networks, pool_size=settings.call_concurrency
        )
    return GuardedAdapter(
        scheme,
        settings.webhook_allow_networks,
        ports=settings.webhook_ports,
        pool_size=settings.call_concurrency,
    )


def _begin_of(response: requests.Response) -> bytes:
    """Read what is kept of an answer. Its head has decided; a body that breaks off changes nothing."""
    try:
        return response.raw.read(KEPT_ANSWER_BYTES, decode_content=False) or b""
    except (OSError, ValueError, HTTPError, HTTPException):
        return b""
    finally:
        response.close()


def _kept(answer: bytes) -> dict[str, str]:
    """Return how an answer begins as text, or as base64 where it is none."""
    if not answer:
        return {}
    try:
        return {"answer": answer.decode()}
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # the kilobyte ends inside a character
            return {"answer": answer[: error.start].decode()}
        return {"answer_base64": base64.b64encode(answer).decode()}


def _control(response: requests.Response) -> str:
    return str(response.headers.get(CONTROL, "")).strip().lower()


def _not_taken(response: requests.Response, answer: bytes) -> DeliveryError:
    status, control = response.status_code, _control(response)
    text = " ".join(answer.decode("utf-8", "replace").split())[:200]
    said = f"the receiver says {status}" + (f": {text}" if text else "")
    kind = "gone" if status == GONE else f"http_{status // 100}xx"
    if 300 <= status < 400:
        said, kind = f"{said}; redirects are not followed", "redirect"
    if status == PROXY_LOGIN:
        said, kind = f"the proxy wants another login: {said}", "proxy_error"
    error = DeliveryError(
        f"{said}; it says {CONTROL}: {control}" if control in {"abort-message", "disable"} else said,
        kind=kind,
        status=status,
        retry_after=retry_after_of(response.headers),
        final=status == GONE or control in {"abort-message", "disable"},
        disable="gone" if status == GONE else "asked" if control == "disable" else "",
        endpoint_at_fault=status != PROXY_LOGIN,
    )
    error.answer = _kept(answer)
    return error


def _not_reached(error: requests.RequestException) -> DeliveryError:
    if isinstance(error, AddressRefused):
        return DeliveryError(str(error), kind=error.kind, final=True, endpoint_at_fault=False)
    if isinstance(error, requests.exceptions.ProxyError):
        return DeliveryError(
            f"the proxy does not let it through: {cause_of(error)}", kind="proxy_error", endpoint_at_fault=False
        )
    if isinstance(error, DeadlineExceeded | requests.Timeout):
        return DeliveryError(f"the receiver did not answer in time: {cause_of(error)}", kind="timeout")
    if isinstance(error, requests.exceptions.SSLError):
        return DeliveryError(f"TLS with the receiver failed: {cause_of(error)}", kind="tls_error")
    if isinstance(error, requests.exceptions.InvalidURL):
        return DeliveryError(
            f"the URL cannot be used: {error}", kind="invalid_url", final=True, endpoint_at_fault=False
        )
    kind = "dns_error" if isinstance(error, NotResolved) else "connection_error"
    return DeliveryError(f"the receiver cannot be reached: {cause_of(error)}", kind=kind)
