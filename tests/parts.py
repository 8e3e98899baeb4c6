"""Programs that some tests need and a wheel cannot bring: Chromium, RabbitMQ, a Redis with TLS, Node, Go, ffmpeg."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

PATH = os.pathsep.join(("/usr/lib/rabbitmq/bin", os.environ.get("PATH", os.defpath)))
"""RabbitMQ's own scripts come first: Debian's wrappers of the same names refuse every user but root and rabbitmq."""

MISSING = "missing part: "
"""Begins the reason of a test that was skipped because the machine lacks a part."""


def find_program(name: str) -> str | None:
    """Return the path of a program, or None where it is not installed."""
    return shutil.which(name, path=PATH)


def need_program(name: str) -> str:
    """Return the path of a program; a test that needs it skips without it, and fails where `CI` is true."""
    return find_program(name) or missing(f"{name} is not installed")


def missing(why: str) -> NoReturn:
    """Skip the test because the machine lacks a part, or fail it where `CI` is true. The run's last line says it."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(why, pytrace=False)
    pytest.skip(f"{MISSING}{why}")
