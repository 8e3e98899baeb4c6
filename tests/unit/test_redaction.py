"""What Flower and logs may show of arguments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.queue.redaction import describe_arguments

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
    b"https://shop.example/hunter2",
    ["https://shop.example/hunter2"],
    {"url": "https://shop.example/hunter2"},
]


@given(anything)
def test_nothing_that_a_producer_sends_breaks_the_description(kwargs: Any) -> None:
    """Any JSON value is described in at most 600 characters; an error here would end the worker."""
    assert len(describe_arguments(kwargs, hide_prompts=True)) <= 600


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("request", "webhook_url", "metadata", "deadline_s", "prompt"), anything)
    )
)
@example({"webhook_url": "http://[::1"})
def test_no_argument_breaks_the_description(kwargs: dict[str, Any]) -> None:
    """Wrong types and malformed URLs in the known arguments are described as well."""
    assert isinstance(describe_arguments(kwargs, hide_prompts=False), str)


@pytest.mark.parametrize("depth", [50, 5000])
@pytest.mark.parametrize("name", ["request", "metadata", "other"])
def test_deep_arguments_do_not_break_the_description(name: str, depth: int) -> None:
    """Arguments nested 5,000 levels deep are described without reaching the recursion limit."""
    assert isinstance(describe_arguments({name: nested(depth)}, hide_prompts=True), str)


@pytest.mark.parametrize("url", URLS)
def test_of_a_url_only_the_host_is_shown(url: object) -> None:
    """User, path, query and fragment of a webhook URL are never shown: they hold tokens."""
    assert "hunter2" not in describe_arguments({"request": {}, "webhook_url": url}, hide_prompts=False)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://shop.example/a", "https://shop.example/…"),
        ("http://[", "(not a URL)"),
        (5, "(not a URL)"),
        (None, "None"),
    ],
)
def test_the_host_is_shown(url: object, shown: str) -> None:
    """Of a webhook URL the host is shown, and of a value that is none that it is none."""
    described = describe_arguments({"request": {}, "webhook_url": url}, hide_prompts=False)
    assert shown in described


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
def test_prompts_are_hidden_when_configured(kwargs: dict[str, Any]) -> None:
    """With hide_prompts no prompt is shown, in whichever field and type it came."""
    assert "hunter2" not in describe_arguments(kwargs, hide_prompts=True)


def test_prompts_are_shown_otherwise_and_cut() -> None:
    """Without hide_prompts a prompt is shown, cut to 80 characters."""
    shown = describe_arguments({"request": {"prompt": "harbour " * 30, "numImages": 2}}, hide_prompts=False)
    assert "harbour harbour" in shown
    assert len(shown) < 150
    assert "'numImages': 2" in shown


def test_hidden_prompts_leave_their_length() -> None:
    """Of a hidden prompt its length is shown."""
    assert "(7 characters)" in describe_arguments({"request": {"prompt": "hunter2"}}, hide_prompts=True)


@pytest.mark.parametrize("value", [None, 5, "text", ["list"]])
def test_arguments_that_are_not_an_object_are_not_shown(value: object) -> None:
    """Keyword arguments that are not an object are shown as unreadable."""
    assert describe_arguments(value, hide_prompts=False) == "(unreadable)"
