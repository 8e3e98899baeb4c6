"""Why a receiver did not take a webhook, and what to do, in plain words."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from config.settings import Settings
from worker.domain.errors import DeliveryError
from worker.webhooks.guard import METADATA

UNSIGNED = (
    "No PHOTOGPT_WEBHOOK_SECRETS is set here, so the event went out unsigned. If the workers have a secret, set the "
    "same one here."
)


def advice(error: DeliveryError, url: str, settings: Settings) -> str:
    """Return what to do about a failed attempt; one paragraph.

    Args:
        error: what the sender raised.
        url: where it was sent to.
        settings: those that it was sent with.
    """
    told = _by_cause(error) if error.kind == "connection_error" else _BY_KIND.get(error.kind)
    if error.status is not None and told is None:
        told = _by_status
    return told(error, url, settings) if told else "Nobody knows this fault yet; the line above is all there is."


def _by_cause(error: DeliveryError) -> _Advice:
    """Tell apart what has one class in the ledger."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror | UnicodeError):
            return _name
        if isinstance(cause, ConnectionRefusedError):
            return _refused
    return _connection


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk down from an error to what it comes from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


_Advice = Callable[[DeliveryError, str, Settings], str]


def _address(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, settings
    addresses = _resolved(url)
    if any(address in network for address in addresses for network in METADATA if address.version == network.version):
        return "A cloud's metadata service may be there: it is never called, and no setting changes that."
    networks = ",".join(sorted(str(ipaddress.ip_network(address)) for address in addresses)) or "10.0.0.0/8"
    return (
        "Workers call public addresses only, so that nobody can aim them at your own network. If this receiver is "
        f"yours, let it through, here and where the workers run: PHOTOGPT_WEBHOOK_ALLOW_NETWORKS={networks}"
    )


def _resolved(url: str) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    host = urlsplit(url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return {ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found}
    except (OSError, ValueError):
        return set()


def _name(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, settings
    return (
        f"The name {urlsplit(url).hostname} leads nowhere from this machine. Is it spelled right, and is it known in "
        "the DNS that the workers ask? A name from /etc/hosts or from a container's network is known there only."
    )


def _refused(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, settings
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return (
        f"The machine is there, but nothing listens on port {port}. Does the receiver run, on this port, and on an "
        "address that others reach (0.0.0.0 in a container, not 127.0.0.1)?"
    )


def _connection(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, url, settings
    return (
        "The connection could not be made or broke off. Look at the receiver's own log and at what stands in front of "
        "it (proxy, firewall); http:// to a port that speaks TLS ends like this, too."
    )


def _tls(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, settings
    return (
        f"The certificate was not accepted. It must be valid today, name {urlsplit(url).hostname}, come with its "
        "intermediate certificates, and be signed by an authority that the workers' system trusts. https:// to a port "
        "that speaks plain http ends like this, too."
    )


def _timeout(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, url
    return (
        f"An attempt may take {settings.webhook_connect_timeout_s:g} s to connect and {settings.webhook_deadline_s:g} "
        "s in all. Where nobody answered at all, a firewall may swallow it. Where the receiver got it: answer 204 "
        "first and do the work afterwards."
    )


def _redirect(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, url, settings
    return (
        "Redirects are not followed, since they could lead anywhere. Give the URL that the receiver really has: often "
        "https:// for http://, or a slash at the end."
    )


def _gone(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, url, settings
    return "410 tells workers never to come back with this event. Answer 2xx, if it was meant to be taken."


def _url(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, url, settings
    return "Correct the URL; no attempt would ever succeed."


def _port(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, url
    known = ", ".join(map(str, settings.webhook_ports))
    return f"Workers call ports {known} only, any port in the networks they are allowed to: PHOTOGPT_WEBHOOK_PORTS."


def _scheme(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, url
    return f"PHOTOGPT_WEBHOOK_SCHEMES lets through: {', '.join(settings.webhook_schemes)}."


def _proxy(error: DeliveryError, url: str, settings: Settings) -> str:
    del error, url, settings
    return (
        "Webhooks go through PHOTOGPT_WEBHOOK_PROXY_URL, and the proxy did not let this one through: look at its own "
        "log, its login and its rules. The receiver is not to blame."
    )


def _by_status(error: DeliveryError, url: str, settings: Settings) -> str:
    status = error.status or 0
    if status in {400, 401, 403} and not settings.webhook_secrets:
        return UNSIGNED
    if status in {400, 401, 403}:
        return (
            "The receiver got it and does not believe it. In this order: has it the same secret, whole, with whsec_? "
            "Does it verify the raw body, before anything parses it and writes it anew? Does its clock agree with this "
            "machine's (five minutes are allowed)? Does something before it ask for a login of its own?"
        )
    if status in {404, 405}:
        return f"The server is there, but takes no POST at {urlsplit(url).path or '/'}. Is the path right?"
    if status in {429, 502, 503, 504}:
        return (
            "The receiver, or what stands in front of it, is too busy or not up. Workers would try again, more slowly."
        )
    if status >= 500:
        return "The receiver broke while it handled the event: its own log says where. Workers would try again."
    return "Only 2xx means that it was taken. Workers would try again."


_BY_KIND: dict[str, _Advice] = {
    "address_refused": _address,
    "dns_error": _name,
    "port_refused": _port,
    "scheme_refused": _scheme,
    "proxy_error": _proxy,
    "tls_error": _tls,
    "timeout": _timeout,
    "redirect": _redirect,
    "gone": _gone,
    "invalid_url": _url,
}
