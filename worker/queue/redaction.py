"""Describe arguments and outcomes for Flower and logs, without secrets."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from worker.domain.outcome import Outcome
from worker.domain.text import truncate

MAX_DEPTH = 5  # levels of nested arguments that are shown
MAX_VALUE = 80  # characters of one text, enough to recognize a prompt
MAX_ARGUMENTS = 600  # characters of all arguments
MAX_OUTCOME = 1024  # characters of an outcome, as many as Celery's own tracer shows


def describe_arguments(kwargs: Any, *, hide_prompts: bool) -> str:
    """Return a task's keyword arguments as Flower and logs may show them: of a webhook URL only the host.

    Args:
        kwargs: as the producer sent them; any JSON value.
        hide_prompts: show the length of a prompt instead of its text.
    """
    if not isinstance(kwargs, dict):
        return "(unreadable)"
    shown = {name: _redact(str(name), value, hide_prompts=hide_prompts) for name, value in kwargs.items()}
    if "webhook_url" in shown:
        shown["webhook_url"] = _host_only(shown["webhook_url"])
    return truncate(repr(shown), MAX_ARGUMENTS)


def describe_outcome(outcome: Outcome, *, hide_prompts: bool) -> str:
    """Return an outcome as Flower may show it. PhotoGPT's records can repeat the prompt."""
    shown = _redact("", outcome, hide_prompts=True) if hide_prompts else outcome
    return truncate(repr(shown), MAX_OUTCOME)


def _host_only(url: object) -> str | None:
    if not isinstance(url, str):
        return None if url is None else "(not a URL)"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{parts.hostname}/…"


def _redact(name: str, value: Any, *, hide_prompts: bool, depth: int = 0) -> Any:
    """Shorten long values; hide a value that is named a prompt, or stands where the request should."""
    if hide_prompts and "prompt" in name.lower():
        return f"({len(value)} characters)" if isinstance(value, str) else "(hidden)"
    if isinstance(value, dict):
        if depth == MAX_DEPTH:
            return "{…}"
        return {key: _redact(str(key), item, hide_prompts=hide_prompts, depth=depth + 1) for key, item in value.items()}
    if hide_prompts and name == "request":
        return "(unreadable)"
    if isinstance(value, str) and name != "webhook_url":
        return truncate(value, MAX_VALUE)
    return "[…]" if isinstance(value, bytes | list) and name != "webhook_events" else value
