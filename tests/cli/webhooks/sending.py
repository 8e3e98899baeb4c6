"""Sends test events as a worker does."""

from __future__ import annotations

import time
from typing import Any

from config.settings import Settings
from tests.running import WEBHOOK_SECRET
from worker.cli.webhooks.sample_event import sample_delivery
from worker.domain.errors import DeliveryError
from worker.webhooks.sender import WebhookSender


def send(url: str, secrets: str = WEBHOOK_SECRET, *, event: str = "job.succeeded", times: int = 1) -> list[int]:
    """Send one event several times as a worker does, and return the HTTP statuses of the answers."""
    settings: dict[str, Any] = {"webhook_allow_networks": "127.0.0.0/8,::1/128", "webhook_secrets": secrets}
    sender = WebhookSender(Settings(**{"_env_file": None} | settings))
    delivery, answered = sample_delivery(url, event, at=time.time()), []
    try:
        for _ in range(times):
            try:
                answered.append(sender.send(delivery, at=time.time()).status)
            except DeliveryError as error:
                answered.append(error.status or 0)
    finally:
        sender.close()
    return answered
