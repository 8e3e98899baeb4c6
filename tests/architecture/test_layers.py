"""Imports: which module may import which, and what only some modules may use."""

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
"""Passes the environment to a child process and reads nothing in it."""

CATCH_REDIS_ERRORS = {
    "worker/queue/app.py",
    "worker/queue/publisher.py",
    "worker/lanes/apply.py",
    "worker/lanes/runner.py",
    "worker/steps/store_files.py",
    "worker/tasks.py",
}
"""Modules that may catch Redis' exceptions."""


def name_of(path: Path) -> str:
    """Return a path relative to the repository."""
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    """Yield every syntax node of a module."""
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def test_the_layers_hold() -> None:
    """The import contracts of `.importlinter` hold."""
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_settings_read_the_environment() -> None:
    """Only `config/` and the command line read environment variables."""
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


@pytest.mark.parametrize("name", sorted(CATCH_REDIS_ERRORS))
def test_outside_the_store_only_redis_exceptions_are_used(name: str) -> None:
    """Outside the store only Redis' exceptions are imported, so no command is sent from there."""
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
    """The domain imports no clock, no randomness, no socket and no logger."""
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
    """Importing the app opens no connection to Redis, a broker or PhotoGPT."""
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('a connection was opened at import')\n"
        "socket.socket.connect = refuse\n"
        "import worker.tasks, worker.cli.main\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True, capture_output=True)
