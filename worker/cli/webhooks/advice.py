"""Explains a failed webhook attempt, and what to do about it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from config.settings import Settings
from worker.domain.errors import DeliveryError
from worker.http.addresses import is_metadata

UNSIGNED = (
    "PHOTOGPT_WEBHOOK_SECRETS is not set here, so the event went out unsigned. If the workers have a secret, set the "
    "same one here."
)
CONNECTION = (
    "The connection failed or was closed. Check the receiver's own log and the proxy or firewall in front of it. An "
    "http:// URL with a TLS port fails like this as well."
)
REFUSED_CONNECTION = (
    "The host answers, but nothing listens on port {port}. Check that the receiver runs on this port and on an address "
    "that other hosts can reach (in a container 0.0.0.0, not 127.0.0.1)."
)
NAME = (
    "The name {host} does not resolve on this machine. Check the spelling, and that the DNS servers of the workers "
    "know the name. A name from /etc/hosts or from a container's network is known only there."
)
METADATA_SERVICE = "A cloud's metadata service may have this address: workers never call it, whatever the settings are."
PRIVATE_ADDRESS = (
    "Workers call public addresses only, so that no producer can send requests into your network. If this receiver is "
    "yours, allow its network here and for the workers: PHOTOGPT_WEBHOOK_ALLOW_NETWORKS={networks}"
)
TLS = (
    "The certificate was not accepted. It must be valid today, name {host}, come with its intermediate certificates, "
    "and be signed by an authority that the workers' system trusts, or one in the file that PHOTOGPT_WEBHOOK_CA_FILE "
    "names, for the workers as well. An https:// URL with a plain HTTP port fails like this as well."
)
EXPIRED = (
    "The certificate of {host} has expired: renew it there, and let the server load the new one. No setting of the "
    "workers accepts it."
)
TOO_EARLY = (
    "The certificate of {host} is not valid yet: check the clock of this machine, and the certificate's first day."
)
TIMEOUT = (
    "An attempt may take {connect:g} s to connect and {total:g} s in all. If the receiver's log shows no request, a "
    "firewall may drop it. If the log shows one, answer 204 first and do the work afterwards."
)
REDIRECT = (
    "Redirects are not followed, because they could lead to any address. Use the final URL of the receiver: often "
    "https:// instead of http://, or a slash at the end."
)
PROXY = (
    "Webhooks go through PHOTOGPT_WEBHOOK_PROXY_URL, and the proxy did not forward this one: check the proxy's log, "
    "its login and its rules. The receiver is not at fault."
)
GONE = "410 means that workers must not send this event again. Answer 2xx if the receiver accepts it."
URL = "Correct the URL; no attempt can succeed."
PORT = "Workers call the ports {ports} (PHOTOGPT_WEBHOOK_PORTS), and any port in the allowed networks."
SCHEME = "PHOTOGPT_WEBHOOK_SCHEMES allows {schemes} only."
NOT_BELIEVED = (
    "The receiver got the event and did not accept its signature. Check in this order: that it has the same secret, "
    "complete, with whsec_; that it verifies the raw body before a parser changes it; that its clock agrees with this "
    "machine's within five minutes; that no proxy in front of it asks for a login."
)
NO_POST = "The server answers, but accepts no POST at {path}. Check the path."
BUSY = "The receiver, or a proxy in front of it, is overloaded or not up. Workers would retry later."
RECEIVER_ERROR = "The receiver failed while it handled the event: its own log says where. Workers would retry."
NOT_2XX = "Only 2xx means that the event was accepted. Workers would retry."
UNKNOWN = "There is no advice for this kind of failure; the line above is all that is known."


def advice(error: DeliveryError, url: str, settings: Settings) -> str:  # noqa: PLR0911 - one answer per kind
    """Return one paragraph about what to do about a failed attempt.

    Args:
        error: what the sender raised.
        url: of the receiver.
        settings: with which the event was sent.
    """
    parts = urlsplit(url)
    match _kind(error):
        case "address_refused":
            return _address_advice(parts.hostname or "")
        case "dns_error":
            return NAME.format(host=parts.hostname)
        case "refused_connection":
            return REFUSED_CONNECTION.format(port=parts.port or (443 if parts.scheme == "https" else 80))
        case "tls_error":
            return _tls_advice(str(error), parts.hostname or "")
        case "timeout":
            return TIMEOUT.format(connect=settings.webhook_connect_timeout_s, total=settings.webhook_deadline_s)
        case "port_refused":
            return PORT.format(ports=", ".join(map(str, settings.webhook_ports)))
        case "scheme_refused":
            return SCHEME.format(schemes=", ".join(settings.webhook_schemes))
        case kind if kind in FIXED:
            return FIXED[kind]
        case _ if error.status is not None:
            return _status_advice(error.status, parts.path, signed=bool(settings.webhook_secrets))
        case _:
            return UNKNOWN


FIXED = {"connection_error": CONNECTION, "redirect": REDIRECT, "proxy_error": PROXY, "gone": GONE, "invalid_url": URL}
"""Advice that needs no detail, by kind of failure."""


def _tls_advice(text: str, host: str) -> str:
    if "certificate has expired" in text:
        return EXPIRED.format(host=host)
    if "not yet valid" in text:
        return TOO_EARLY.format(host=host)
    return TLS.format(host=host)


def _kind(error: DeliveryError) -> str:
    """Return the error's kind; a connection error is divided further by its cause."""
    if error.kind == "connection_error":
        for cause in _causes(error):
            if isinstance(cause, socket.gaierror | UnicodeError):
                return "dns_error"
            if isinstance(cause, ConnectionRefusedError):
                return "refused_connection"
    return error.kind


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _address_advice(host: str) -> str:
    addresses = _resolve(host)
    if any(is_metadata(address) for address in addresses):
        return METADATA_SERVICE
    networks = ",".join(sorted(str(ipaddress.ip_network(address)) for address in addresses)) or "10.0.0.0/8"
    return PRIVATE_ADDRESS.format(networks=networks)


def _resolve(host: str) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return {ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found}
    except (OSError, ValueError):
        return set()


def _status_advice(status: int, path: str, *, signed: bool) -> str:
    if status in {400, 401, 403}:
        return NOT_BELIEVED if signed else UNSIGNED
    if status in {404, 405}:
        return NO_POST.format(path=path or "/")
    if status in {429, 502, 503, 504}:
        return BUSY
    return RECEIVER_ERROR if status >= 500 else NOT_2XX
