"""The clients of a worker process, in the process of a test."""

from __future__ import annotations

from unittest.mock import create_autospec

import redis

from config.settings import Settings
from tests.running import keys
from worker.domain.lane import Lane
from worker.services import Services, TaskPublisher, open_services
from worker.store.records import NO_UPDATE


def open_worker(settings: Settings) -> Services:
    """Return the clients of a worker process whose tick messages are kept by a mock."""
    publisher = create_autospec(TaskPublisher, instance=True)
    publisher.progress.return_value = publisher.result.return_value = NO_UPDATE
    return open_services(settings, publisher)


def token_of(client: redis.Redis, lane: Lane) -> str:
    """Return the token of the lane's next tick, "None" if no tick is on its way."""
    soon, later = client.hmget(keys.loop(lane), ["soon_token", "later_token"])
    return str(soon or later)
