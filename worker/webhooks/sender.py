"""One attempt to deliver a webhook: sign it, send it within a deadline, classify the answer."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from config.webhook_keys import signing_key
from worker import __version__
from worker.domain.errors import DeliveryError
from worker.http.adapter import bounded_session
from worker.http.deadline import Call, call_within
from worker.http.errors import DeadlineExceeded, root_cause, unknown_authority_hint
from worker.http.guard import AddressRefused, ClosedAdapter, GuardedAdapter, NotResolved, ProxiedAdapter
from worker.http.headers import parse_retry_after
from worker.telemetry import traces
from worker.telemetry.spans import SpanKind
from worker.telemetry.trace_context import current_traceparent
from worker.webhooks.signing import sign

if TYPE_CHECKING:
    from config.settings import Settings
    from worker.domain.delivery import Delivery

MAX_ANSWER_BYTES = 1024
MAX_BODY_S = 1.0  # for the start of an answer's body, which only the history needs
GONE = 410  # Standard Webhooks: disable the endpoint
PROXY_AUTHENTICATION_REQUIRED = 407
CONTROL_HEADER = "webhook-delivery"  # of Svix: a receiver ends the attempts by abort-message or disable


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver accepted the webhook."""

    status: int
    duration_s: float
    #: The start of the answer, for the delivery's history.
    answer: dict[str, str] = field(default_factory=dict)
    #: The receiver asked to disable the endpoint.
    disable: bool = False
    #: The IP address that answered, of the receiver or the proxy.
    address: str = ""


class WebhookSender:
    """Sends webhooks over kept-alive, guarded connections."""

    def __init__(self, settings: Settings) -> None:
        """Take secrets, limits and allowed networks from the settings."""
        self._keys = [signing_key(secret.get_secret_value()) for secret in settings.webhook_secrets]
        self._timeout = (settings.webhook_connect_timeout_s, settings.webhook_read_timeout_s)
        self._deadline_s = settings.webhook_deadline_s
        self._max_idle_s = settings.webhook_max_idle_s
        proxy = settings.webhook_proxy_url.get_secret_value() if settings.webhook_proxy_url else None
        self._session = bounded_session(
            {f"{scheme}://": _adapter(scheme, settings, proxied=proxy is not None) for scheme in ("https", "http")}
        )
        if proxy is not None:
            self._session.proxies = {"http": proxy, "https": proxy}

    def send(self, delivery: Delivery, *, at: float) -> Accepted:
        """Make one attempt.

        Args:
            delivery: its body is signed and sent exactly as stored.
            at: epoch seconds of this attempt.

        Raises:
            DeliveryError: the receiver did not accept it; `final` says that no attempt may follow.
        """
        started = time.monotonic()
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "server.address": urlsplit(delivery.url).hostname or "",
            "photogpt.webhook.id": delivery.id,
            "photogpt.job.id": delivery.job_id,
            "http.request.resend_count": delivery.attempts,
        }
        with traces.span("POST webhook", SpanKind.CLIENT, attributes) as span:
            try:
                accepted = self._send(delivery, at, started)
            except DeliveryError as error:
                error.duration_s = time.monotonic() - started
                span.set(
                    {"photogpt.fault": error.kind}
                    | ({"http.response.status_code": error.status} if error.status else {})
                )
                raise
            span.set({"http.response.status_code": accepted.status})
            return accepted

    def _send(self, delivery: Delivery, at: float, started: float) -> Accepted:
        body = delivery.body.encode()
        max_idle_s = 0 if delivery.attempts else self._max_idle_s  # a retry uses no connection that may be the fault
        try:
            with call_within(self._deadline_s, max_idle_s=max_idle_s) as call:
                response = self._session.post(
                    delivery.url,
                    data=body,
                    headers=self._headers(delivery, int(at), body),
                    timeout=self._timeout,
                    allow_redirects=False,
                    stream=True,
                )
                duration_s, address = time.monotonic() - started, call.peer
                answer = _read_start(response, call)
        except requests.RequestException as error:
            raise _connection_error(error) from error
        except OSError as error:
            raise DeliveryError(f"the connection broke: {error}", kind="connection_error") from error
        if 200 <= response.status_code < 300:
            disable = _control(response) == "disable"
            return Accepted(response.status_code, duration_s, _history_entry(answer), disable, address)
        raise _refusal(response, answer)

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
        if traceparent := current_traceparent():
            headers["traceparent"] = traceparent  # never tracestate or baggage: they may hold data of ours
        if self._keys:
            headers["webhook-signature"] = sign(self._keys, webhook_id=delivery.id, timestamp=timestamp, body=body)
        return headers


def _adapter(scheme: str, settings: Settings, *, proxied: bool) -> HTTPAdapter:
    """Return the adapter of a scheme. A proxy resolves names itself, so it has to guard the addresses."""
    if scheme not in settings.webhook_schemes:
        return ClosedAdapter(f"webhooks may not use {scheme}://; PHOTOGPT_WEBHOOK_SCHEMES lists the allowed schemes")
    if proxied:
        return ProxiedAdapter(
            settings.webhook_ports,
            settings.webhook_allow_networks,
            pool_size=settings.call_concurrency,
            ca_file=settings.webhook_ca_file,
        )
    return GuardedAdapter(
        scheme,
        settings.webhook_allow_networks,
        ports=settings.webhook_ports,
        pool_size=settings.call_concurrency,
        ca_file=settings.webhook_ca_file,
    )


def _read_start(response: requests.Response, call: Call) -> bytes:
    """Read the start of an answer's body. The head decides the attempt, so an incomplete body is not an error."""
    call.answered = not call.expired  # a head that the deadline cuts is no answer
    call.ends = min(call.ends, time.monotonic() + MAX_BODY_S)
    start = b""
    try:
        while len(start) < MAX_ANSWER_BYTES and (
            part := response.raw.read1(MAX_ANSWER_BYTES - len(start), decode_content=False)
        ):
            start += part
    except (OSError, ValueError, HTTPError, HTTPException):
        pass
    finally:
        response.close()
    return start


def _history_entry(answer: bytes) -> dict[str, str]:
    """Return the start of an answer as text, or as base64 if it is not UTF-8."""
    if not answer:
        return {}
    try:
        return {"answer": answer.decode()}
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # the limit cuts a character
            return {"answer": answer[: error.start].decode()}
        return {"answer_base64": base64.b64encode(answer).decode()}


def _control(response: requests.Response) -> str:
    return str(response.headers.get(CONTROL_HEADER, "")).strip().lower()


def _refusal(response: requests.Response, answer: bytes) -> DeliveryError:
    status, control = response.status_code, _control(response)
    text = " ".join(answer.decode("utf-8", "replace").split())[:200]
    message = f"the receiver answered {status}" + (f": {text}" if text else "")
    kind = "gone" if status == GONE else f"http_{status // 100}xx"
    if 300 <= status < 400:
        message, kind = f"{message}; redirects are not followed", "redirect"
    if status == PROXY_AUTHENTICATION_REQUIRED:
        message, kind = f"the proxy requires authentication: {message}", "proxy_error"
    final = control in {"abort-message", "disable"}
    error = DeliveryError(
        f"{message}; {CONTROL_HEADER}: {control}" if final else message,
        kind=kind,
        status=status,
        retry_after=parse_retry_after(response.headers),
        final=final or status == GONE,
        disable="gone" if status == GONE else "asked" if control == "disable" else "",
        endpoint_at_fault=status != PROXY_AUTHENTICATION_REQUIRED,
    )
    error.answer = _history_entry(answer)
    return error


def _connection_error(error: requests.RequestException) -> DeliveryError:
    if isinstance(error, AddressRefused):
        return DeliveryError(str(error), kind=error.kind, final=True, endpoint_at_fault=False)
    if isinstance(error, requests.exceptions.ProxyError):
        return DeliveryError(
            f"the proxy refused the connection: {root_cause(error)}", kind="proxy_error", endpoint_at_fault=False
        )
    if isinstance(error, DeadlineExceeded | requests.Timeout):
        return DeliveryError(f"the receiver did not answer in time: {root_cause(error)}", kind="timeout")
    if isinstance(error, requests.exceptions.SSLError):
        hint = unknown_authority_hint(error, "PHOTOGPT_WEBHOOK_CA_FILE")
        return DeliveryError(f"TLS with the receiver failed: {root_cause(error)}{hint}", kind="tls_error")
    if isinstance(error, requests.exceptions.InvalidURL):
        return DeliveryError(
            f"the URL cannot be used: {error}", kind="invalid_url", final=True, endpoint_at_fault=False
        )
    kind = "dns_error" if isinstance(error, NotResolved) else "connection_error"
    return DeliveryError(f"the receiver cannot be reached: {root_cause(error)}", kind=kind)
