"""Headers of messages as AMQP carries them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from uuid import UUID

from amqp.serialization import dumps, loads

from worker.queue.serialization import amqp_value

ORDER = UUID(int=7)


def test_headers_that_amqp_has_no_type_for() -> None:
    """py-amqp can write UUID, date and time in a header, also nested, once they are text; other values stay."""
    headers = {"id": ORDER, "nested": [{"day": date(2026, 11, 28), "at": time(1, 2)}], "n": 1, "none": None}
    [table], _ = loads("F", dumps("F", (amqp_value(headers),)), 0)
    assert table == {"id": str(ORDER), "nested": [{"day": "2026-11-28", "at": "01:02:00"}], "n": 1, "none": None}


def test_a_datetime_stays() -> None:
    """AMQP has a type for datetime, which the next task gets."""
    at = datetime(2026, 11, 28, tzinfo=UTC)
    assert amqp_value({"at": at}) == {"at": at}
