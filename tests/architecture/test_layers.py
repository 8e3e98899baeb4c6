"""Who may import whom, and what only a few may touch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "worker").rglob("*.py"), *(ROOT / "config").rglob("*.py")])

CHILD_ENVIRONMENT = {"worker/sandbox/remote.py"}
"""Hands the environment on to a child process, and reads nothing in it."""

LATE_EXCEPTIONS = {"worker/queue/app.py", "worker/queue/publisher.py", "worker/lanes/runner.py", "worker/tasks.py"}
"""Catch Redis' exceptions where the line has to survive them."""


def name_of(path: Path) -> str:
    """Return a path as people write it."""
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    """Walk a module."""
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def test_the_layers_hold() -> None:
    """The contracts of `.importlinter`."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_settings_read_the_environment() -> None:
    """Beside the command, which starts processes with it."""
    readers = {
        name_of(path)
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv", "environb"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    allowed = {name for name in readers if name.startswith(("config/", "worker/cli/"))} | CHILD_ENVIRONMENT
    assert readers <= allowed


@pytest.mark.parametrize("name", sorted(LATE_EXCEPTIONS))
def test_outside_the_store_only_redis_exceptions_are_used(name: str) -> None:
    """No command is sent from there."""
    imported = {
        alias.name
        for node in nodes(ROOT / name)
        if isinstance(node, ast.ImportFrom) and node.module == "redis"
        for alias in node.names
    }
    plain = {alias.name for node in nodes(ROOT / name) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {"RedisError"}
    assert "redis" not in plain


def test_time_is_an_argument_in_the_domain() -> None:
    """What is pure can be put in a table."""
    clocks = {"time", "random", "threading", "socket", "os", "logging"}
    found = {
        (name_of(path), module)
        for path in (ROOT / "worker" / "domain").rglob("*.py")
        for node in nodes(path)
        for module in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if module.split(".")[0] in clocks
    }
    assert not found


def test_nothing_is_opened_at_import() -> None:
    """Importing the app connects to nobody: not to Redis, not to a broker, not to PhotoGPT."""
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('a connection was opened at import')\n"
        "socket.socket.connect = refuse\n"
        "import worker.tasks, worker.client, worker.cli.main\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True, capture_output=True)
