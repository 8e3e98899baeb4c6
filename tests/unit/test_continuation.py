"""What a continuation carries from the producer's message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery.app.task import Context

from tests.unit.factories import make_job
from worker.domain.job import Kind
from worker.queue.continuation import CONTINUED, KEPT_OPTIONS, capture_continuation, default_continuation


def captured(**context: Any) -> dict[str, Any]:
    """Return the continuation of a message."""
    fields = {"id": "job-1", "root_id": "root", "args": ["secret"], "kwargs": {"secret": 1}, **context}
    made: dict[str, Any] = json.loads(capture_continuation(Context(fields), "photogpt.generate_image", "{…}"))
    return made


def test_a_continuation_carries_the_producers_ids_and_canvas() -> None:
    """A continuation keeps the producer's ids and what makes chain, group, chord and callbacks work."""
    link = {"task": "shop.done", "args": [], "kwargs": {}, "options": {}}
    made = captured(
        parent_id="parent",
        group="group",
        group_index=3,
        chord=link,
        chain=[link],
        callbacks=[link],
        errbacks=[link],
        reply_to="me",
    )
    assert made["task"] == "photogpt.generate_image"
    options = made["options"]
    assert (options["task_id"], options["root_id"], options["parent_id"]) == ("job-1", "root", "parent")
    assert (options["group_id"], options["group_index"], options["chord"], options["chain"]) == (
        "group",
        3,
        link,
        [link],
    )
    assert (options["link"], options["link_error"], options["reply_to"]) == ([link], [link], "me")


def test_a_continuation_carries_neither_arguments_nor_limits() -> None:
    """A continuation carries no arguments, which Redis has, and no limits, which applied to the wait."""
    made = captured(expires="2026-01-01T00:00:00", timelimit=[5, 3], retries=2, eta="2026-01-01T00:00:00")
    assert set(made) == {"task", "options"}
    assert set(made["options"]) <= {*KEPT_OPTIONS, "headers", "ignore_result", "argsrepr", "kwargsrepr"}
    assert "secret" not in json.dumps(made)


def test_custom_headers_are_kept() -> None:
    """A continuation keeps the producer's own headers, and leaves out the header that marks a continuation."""
    made = captured(headers={"trace": "t-1", CONTINUED: True})
    assert made["options"]["headers"] == {"trace": "t-1"}
    assert "headers" not in captured(headers=None)["options"]


def test_ignore_result_is_kept() -> None:
    """A producer that ignores the result gets none from the continuation either."""
    assert captured(ignore_result=True)["options"]["ignore_result"] is True
    assert "ignore_result" not in captured()["options"]


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ({}, {}),
        ({"group_id": "g", "parent_id": "p"}, {"group_id": "g", "parent_id": "p"}),
        ({"ignored": True}, {"ignore_result": True}),
    ],
)
def test_a_task_outside_a_canvas_is_sent_again_from_its_record(result: dict[str, Any], kept: dict[str, Any]) -> None:
    """The continuation of a task outside a canvas is made from its kind, its id and its result fields."""
    own = {"task_id": "job-1", "root_id": "job-1"}
    assert default_continuation(make_job(Kind.VIDEO, result_meta=result)) == {
        "task": "photogpt.generate_video",
        "options": own | kept,
    }
