"""Transfers that a worker does not wait for once it has to stop."""

from __future__ import annotations

import contextvars
import threading

import pytest

from worker.outputs.interruption import Stopped, until_stopped

VALUE = contextvars.ContextVar("VALUE", default="")


def test_a_transfer_returns() -> None:
    """What the call returns comes back, and the call runs in the context of the thread that waits: its trace."""
    VALUE.set("trace")
    assert until_stopped(VALUE.get, threading.Event()) == "trace"


def test_a_transfer_raises() -> None:
    """What the call raises is raised in the thread that waits."""

    def broken() -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        until_stopped(broken, threading.Event())


def test_a_blocked_transfer_is_left_behind() -> None:
    """A call that is blocked when the worker has to stop is not waited for."""
    blocked, stopping = threading.Event(), threading.Event()
    stopping.set()
    with pytest.raises(Stopped):
        until_stopped(blocked.wait, stopping, grace_s=0)
    blocked.set()


def test_a_transfer_that_ends_soon_is_waited_for() -> None:
    """A call that returns within the grace period is no transfer to repeat."""
    stopping = threading.Event()

    def ends_after_the_signal() -> str:
        stopping.set()
        return "stored"

    assert until_stopped(ends_after_the_signal, stopping) == "stored"
