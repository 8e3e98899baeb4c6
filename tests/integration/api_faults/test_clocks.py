"""PhotoGPT's clock differs from Redis': reconciling still finds what was created."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from unittest.mock import create_autospec
from urllib.parse import parse_qs, urlsplit

import pytest

from config.settings import Settings
from tests.serving import serving
from tests.unit.factories import make_job
from worker.domain.decision import Decision, Reschedule, Submitted
from worker.domain.times import epoch, rfc3339
from worker.services import TaskPublisher, open_services
from worker.steps.reconcile import reconcile

MADE = "g-1"
ALLOWED_S = 5.0


@contextmanager
def photogpt(ahead_s: float, date: str | None = None, *, dated: bool = True) -> Iterator[str]:
    """Serve a PhotoGPT with one generation, created just now by its own clock; `date` replaces its Date header.

    If it is not `dated`, the list does not show when it was created.
    """
    made = time.time() + ahead_s

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = {name: epoch(values[0]) for name, values in parse_qs(url.query).items()}
            shown = {"jobId": MADE, "status": "running"} | ({"createdAt": rfc3339(made)} if dated else {})
            listed = [shown] if asked and asked["start"] <= made <= asked["end"] else []
            body = json.dumps({"status": "OK", "result": shown if url.path.endswith(MADE) else {"jobs": listed}})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def date_time_string(self, timestamp: float | None = None) -> str:
            del timestamp
            return formatdate(time.time() + ahead_s, usegmt=True) if date is None else date

    with serving(Api) as url:
        yield url


def reconciled(settings: Settings, base_url: str) -> Decision:
    """Return the decision about a trigger without an answer, after twice the settling time."""
    changed = settings.model_copy(update={"base_url": base_url, "clock_skew_s": ALLOWED_S})
    services = open_services(changed, create_autospec(TaskPublisher, instance=True))
    at = services.store.clock()
    asked = make_job(created_at=at, deadline_at=at + 600)
    services.store.jobs.accept(asked, digest="d", continuation="{}")
    assert services.store.jobs.record_intent(asked)
    job = services.store.jobs.get(asked.id)
    assert job is not None
    decision = reconcile(services, job, at + 2 * settings.uncertain_settle_s + 1)
    services.close()
    return decision


@pytest.mark.parametrize("ahead_s", [-4000.0, -100.0, 0.0, 100.0, 4000.0])
def test_a_clock_that_is_far_off(isolated_settings: Settings, ahead_s: float) -> None:
    """A clock far beyond PHOTOGPT_CLOCK_SKEW_S is corrected by the Date header of PhotoGPT's answers."""
    with photogpt(ahead_s) as url:
        assert reconciled(isolated_settings, url) == Submitted(MADE)


def test_a_clock_without_a_date(isolated_settings: Settings) -> None:
    """Without a Date header, a generation outside PHOTOGPT_CLOCK_SKEW_S counts as never created."""
    with photogpt(100.0, date="") as url:
        decision = reconciled(isolated_settings, url)
    assert isinstance(decision, Reschedule)
    assert decision.clear_intent


@pytest.mark.parametrize("date", ["yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_date_that_cannot_be_true(isolated_settings: Settings, date: str) -> None:
    """An impossible Date header still lets reconciling find the generation."""
    with photogpt(0.0, date=date) as url:
        assert reconciled(isolated_settings, url) == Submitted(MADE)
