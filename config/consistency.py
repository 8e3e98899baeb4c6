"""Checks of settings that depend on each other. Each raises a `ValueError` that names the variables."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from config.settings import Settings


def check(settings: Settings) -> None:
    """Check that the settings agree with each other.

    Raises:
        ValueError: two settings do not fit together.
    """
    _check_timeouts(settings)
    _check_webhook_port(settings)
    _check_redis(settings)
    _check_outputs(settings)


def _check_timeouts(settings: Settings) -> None:
    """Check that a call's deadline leaves time to connect."""
    if settings.api_connect_timeout_s > settings.api_call_deadline_s:
        raise ValueError("PHOTOGPT_API_CONNECT_TIMEOUT_S must not exceed PHOTOGPT_API_CALL_DEADLINE_S")


def _check_webhook_port(settings: Settings) -> None:
    """Check that the default receiver has a port that webhooks may go to."""
    url = urlsplit(settings.webhook_url or "")
    port = url.port or (443 if url.scheme == "https" else 80)
    if settings.webhook_url and port not in settings.webhook_ports and not settings.webhook_allow_networks:
        raise ValueError(f"PHOTOGPT_WEBHOOK_URL names port {port}, which PHOTOGPT_WEBHOOK_PORTS does not list")


def _check_redis(settings: Settings) -> None:
    """Check that Sentinel has the primary's name, and that a CA file belongs to a URL with TLS."""
    schemes = {urlsplit(url).scheme for url in (settings.store_url, settings.queue_url)}
    if "sentinel" in schemes and not settings.sentinel_master:
        raise ValueError(
            "PHOTOGPT_SENTINEL_MASTER is missing: a sentinel:// URL needs the name of the primary (often mymaster)"
        )
    if settings.redis_ca_file and "rediss" not in schemes:
        raise ValueError("PHOTOGPT_REDIS_CA_FILE is set, but no URL begins with rediss://: use rediss:// or remove it")


def _check_outputs(settings: Settings) -> None:
    """Check that a record is kept for as long as its files may be missing."""
    if settings.outputs and settings.outputs_deadline_s > settings.retention_s:
        raise ValueError("PHOTOGPT_OUTPUTS_DEADLINE_S must not exceed PHOTOGPT_RETENTION_S: files need their record")
