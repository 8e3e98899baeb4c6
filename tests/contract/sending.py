"""Sends single webhooks as a worker does."""

from __future__ import annotations

from typing import Any

from config.settings import Settings
from tests.running import WEBHOOK_SECRET
from worker.domain.delivery import Delivery
from worker.domain.errors import DeliveryError
from worker.webhooks.sender import Accepted, WebhookSender

NOW = 1_800_000_000.0


class Senders:
    """Sends webhooks, each with its own settings."""

    def __init__(self) -> None:
        """Start without senders."""
        self._made: list[WebhookSender] = []

    def sender(self, **settings: Any) -> WebhookSender:
        """Return a sender; loopback is allowed by default."""
        usual: dict[str, Any] = {
            "webhook_allow_networks": "127.0.0.0/8",
            "webhook_secrets": WEBHOOK_SECRET,
            "webhook_deadline_s": 5,
        }
        self._made.append(WebhookSender(Settings(**{"_env_file": None} | usual | settings)))
        return self._made[-1]

    def __call__(self, url: str, **settings: Any) -> Accepted | DeliveryError:
        """Send one webhook and return the result or the error."""
        delivery = Delivery(id="msg_1", type="job.succeeded", url=url, body="{}", job_id="job-1")
        try:
            return self.sender(**settings).send(delivery, at=NOW)
        except DeliveryError as error:
            return error

    def close(self) -> None:
        """Close every connection."""
        for sender in self._made:
            sender.close()


def failed(outcome: Accepted | DeliveryError) -> DeliveryError:
    """Return the error, and fail if there is none."""
    assert isinstance(outcome, DeliveryError)
    return outcome
