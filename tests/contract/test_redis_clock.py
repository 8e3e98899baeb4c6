"""Redis' clock ten minutes off: receivers accept webhooks, and an operator is warned."""

from __future__ import annotations

import pytest
import redis
from standardwebhooks import Webhook

from config.settings import Settings
from tests.contract.workers import open_worker, token_of
from tests.running import WEBHOOK_SECRET, Receiver
from tests.unit.factories import make_job
from tests.waiting import wait_until
from worker.domain.lane import Lane
from worker.lanes.runner import LaneRunner
from worker.queue.checks import clock_warning
from worker.services import Services
from worker.steps.cancel import cancel


def shift_clock(services: Services, by_s: int) -> None:
    """Let Redis' TIME be ahead by some seconds; no server with another clock is at hand."""

    def shifted(answer: list[bytes], **_: object) -> tuple[int, int]:
        return int(answer[0]) + by_s, int(answer[1])

    services.store.server._client.set_response_callback("TIME", shifted)


@pytest.mark.parametrize("ahead_s", [600, -600], ids=["ahead", "behind"])
def test_receivers_accept_webhooks(client: redis.Redis, settings: Settings, receiver: Receiver, ahead_s: int) -> None:
    """A receiver that allows five minutes accepts the signature: its time is the worker's, not Redis'."""
    services = open_worker(settings)
    shift_clock(services, ahead_s)
    runner = LaneRunner(services)
    at = services.store.clock()
    job = make_job(id="job-0", webhook_url=receiver.url, created_at=at, deadline_at=at + 600)
    services.store.jobs.accept(job, digest="d", continuation="{}")
    cancel(services, "job-0")
    runner.run(Lane.DELIVERIES, token_of(client, Lane.DELIVERIES))
    (sent,) = wait_until(lambda: receiver.requests, "the webhook arrives")
    runner.close()
    Webhook(WEBHOOK_SECRET).verify(sent.body, sent.headers)


def test_the_difference_is_named(settings: Settings) -> None:
    """A difference of more than half a minute has a sentence that says which clock is ahead; a smaller one has none."""
    services = open_worker(settings)
    server = services.store.server
    assert clock_warning(server.clock_offset_s()) is None
    shift_clock(services, 600)
    assert "Redis' clock is 600 s ahead of" in str(clock_warning(server.check().clock_offset_s))
    assert "behind this machine's" in str(clock_warning(-600))
