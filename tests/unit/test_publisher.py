"""What goes over the queue, and what of it may be shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery import Celery
from celery.app.task import Context
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.factories import CREATED, make_job, success
from worker.domain.job import Kind
from worker.domain.outcome import outcome
from worker.queue.publisher import (
    CONTINUED,
    KEPT,
    TICKS,
    CeleryPublisher,
    capture_continuation,
    default_continuation,
    describe,
)
from worker.store.keys import Lane

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just("http://[::1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def nested(depth: int) -> Any:
    """Return an object in an object in an object."""
    value: Any = "x"
    for _ in range(depth):
        value = {"a": value}
    return value


URLS = [
    "https://shop.example/hooks?token=hunter2",
    "https://user:hunter2@shop.example/",
    "https://shop.example:8443/hunter2#hunter2",
    "hunter2",
    "http://[::1/hunter2",
    "https://shop.example:port/hunter2",
]


@given(anything)
def test_nothing_that_a_producer_sends_breaks_the_description(kwargs: Any) -> None:
    """It runs in the consumer, before anything is checked: an error there ends the worker."""
    assert len(describe(kwargs, hide_prompts=True)) <= 600


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("request", "webhook_url", "metadata", "deadline_s", "prompt"), anything)
    )
)
@example({"webhook_url": "http://[::1"})
def test_no_argument_breaks_the_description(kwargs: dict[str, Any]) -> None:
    """Not even a URL that is none."""
    assert isinstance(describe(kwargs, hide_prompts=False), str)


@pytest.mark.parametrize("depth", [50, 5000])
@pytest.mark.parametrize("name", ["request", "metadata", "other"])
def test_deep_arguments_do_not_break_the_description(name: str, depth: int) -> None:
    """Python's recursion limit is reached on the consumer's thread."""
    assert isinstance(describe({name: nested(depth)}, hide_prompts=True), str)


@pytest.mark.parametrize("url", URLS)
def test_of_a_url_only_the_host_is_shown(url: str) -> None:
    """Tokens stand in paths and queries."""
    assert "hunter2" not in describe({"request": {}, "webhook_url": url}, hide_prompts=False)


def test_the_host_is_shown() -> None:
    """It is what people search for."""
    assert "https://shop.example/…" in describe({"webhook_url": "https://shop.example/a"}, hide_prompts=False)


SECRET_PROMPTS = {
    "in the request": {"request": {"prompt": "hunter2"}},
    "negative": {"request": {"negativePrompt": "hunter2"}},
    "nested": {"request": {"options": {"veo": {"negativePrompt": "hunter2"}}}},
    "as a list": {"request": {"prompt": ["hunter2"]}},
    "as an object": {"request": {"prompt": {"text": "hunter2"}}},
    "request is a list": {"request": [{"prompt": "hunter2"}]},
    "request is text": {"request": "hunter2"},
    "beside the request": {"prompt": "hunter2", "request": {}},
}


@pytest.mark.parametrize("kwargs", SECRET_PROMPTS.values(), ids=SECRET_PROMPTS)
def test_prompts_are_hidden_when_told(kwargs: dict[str, Any]) -> None:
    """Wherever a producer puts them, right or wrong."""
    assert "hunter2" not in describe(kwargs, hide_prompts=True)


def test_prompts_are_shown_otherwise_and_cut() -> None:
    """Eighty characters tell which one it was."""
    shown = describe({"request": {"prompt": "harbour " * 30, "numImages": 2}}, hide_prompts=False)
    assert "harbour harbour" in shown
    assert len(shown) < 150
    assert "'numImages': 2" in shown


def test_hidden_prompts_leave_their_length() -> None:
    """Enough to tell two apart."""
    assert "(7 characters)" in describe({"request": {"prompt": "hunter2"}}, hide_prompts=True)


@pytest.mark.parametrize("value", [None, 5, "text", ["list"]])
def test_arguments_that_are_no_object_are_not_shown(value: object) -> None:
    """Whatever they are."""
    assert describe(value, hide_prompts=False) == "(unreadable)"


def frozen(**context: Any) -> dict[str, Any]:
    """Return the continuation of a message."""
    fields = {"id": "job-1", "root_id": "root", "args": ["secret"], "kwargs": {"secret": 1}, **context}
    made: dict[str, Any] = json.loads(capture_continuation(Context(fields), "photogpt.generate_image", "{…}"))
    return made


def test_a_continuation_carries_the_producers_ids_and_canvas() -> None:
    """All that makes chain, group, chord and callbacks work."""
    link = {"task": "shop.done", "args": [], "kwargs": {}, "options": {}}
    made = frozen(
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
    """The ledger has the request; an expiry was for the wait, which is over."""
    made = frozen(expires="2026-01-01T00:00:00", timelimit=[5, 3], retries=2, eta="2026-01-01T00:00:00")
    assert set(made) == {"task", "options"}
    assert set(made["options"]) <= {*KEPT, "headers", "ignore_result", "argsrepr", "kwargsrepr"}
    assert "secret" not in json.dumps(made)


def test_custom_headers_travel_on_and_the_mark_does_not() -> None:
    """A continuation of a continuation does not look like one before it is sent."""
    made = frozen(headers={"trace": "t-1", CONTINUED: True})
    assert made["options"]["headers"] == {"trace": "t-1"}
    assert "headers" not in frozen(headers=None)["options"]


def test_a_producer_who_wants_no_result_gets_none() -> None:
    """`ignore_result` is part of the promise."""
    assert frozen(ignore_result=True)["options"]["ignore_result"] is True
    assert "ignore_result" not in frozen()["options"]


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ({}, {}),
        ({"group_id": "g", "parent_id": "p"}, {"group_id": "g", "parent_id": "p"}),
        ({"ignored": True}, {"ignore_result": True}),
    ],
)
def test_a_bare_task_is_sent_again_from_what_its_job_tells(result: dict[str, Any], kept: dict[str, Any]) -> None:
    """Its name, its id, and what stands in its result."""
    own = {"task_id": "job-1", "root_id": "job-1"}
    assert default_continuation(make_job(Kind.VIDEO, result=result)) == {
        "task": "photogpt.generate_video",
        "options": own | kept,
    }


def test_every_lane_has_a_tick() -> None:
    """A lane without a task would never be looked after."""
    assert set(TICKS) == set(Lane)


@pytest.mark.parametrize("hide", [True, False])
def test_an_outcome_in_celerys_events(hide: bool) -> None:
    """PhotoGPT's records may hold the prompt: where prompts are hidden, Flower shows that there are some."""
    heard: list[Any] = []

    class Dispatcher:
        def send(self, name: str, **fields: Any) -> None:
            heard.append((name, fields["result"]))

    messages = CeleryPublisher(Celery(set_as_current=False), hide_prompts=hide)
    messages.dispatcher = Dispatcher
    job = make_job()
    images = ({"id": "image-1", "url": "https://cdn/1.png", "data": {"prompt": "planted"}},)
    messages.ended(job, outcome(job, success(images=images), at=CREATED + 9))
    ((name, told),) = heard
    assert name == "task-succeeded"
    assert "'finished_at': '2027-01-15T08:00:09.000Z'" in told
    assert ("planted" in told, "1.png" in told) == (not hide, not hide)
