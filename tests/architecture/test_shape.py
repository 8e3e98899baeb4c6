"""Sizes of files, the key table, the heads of the scripts, and the version."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from tests.architecture.test_layers import ROOT, SOURCES, name_of
from worker import __version__
from worker.store import keys, scripts
from worker.store.keys import Lane

MAX_LINES = 300
MAX_LUA_LINES = 60
LUA = sorted((ROOT / "worker" / "store" / "lua").rglob("*.lua"))
VERBS = [path for path in LUA if "-- Stands in front of" not in path.read_text(encoding="utf-8")]


def test_modules_are_small() -> None:
    """No Python module has more than 300 lines."""
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_scripts_are_small(path: Path) -> None:
    """No Lua script has more than 60 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LUA_LINES


@pytest.mark.parametrize("path", VERBS, ids=lambda path: path.name)
def test_a_script_tells_what_it_takes_and_returns(path: Path) -> None:
    """In its head, before the first line of code."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = "\n".join(lines[: next(number for number, line in enumerate(lines) if not line.startswith("--"))])
    for word in ("-- KEYS ", "-- ARGV ", "-- Returns "):
        assert word in head


@pytest.mark.parametrize("path", VERBS, ids=lambda path: path.name)
def test_a_script_uses_what_its_head_names(path: Path) -> None:
    """No number of a key or argument beyond those that are listed."""
    text = path.read_text(encoding="utf-8")
    head = "\n".join(line for line in text.splitlines() if line.startswith("--"))
    for what, listed in re.findall(r"-- (KEYS|ARGV) (.*?)(?=-- (?:KEYS|ARGV|Returns)|\Z)", head, flags=re.DOTALL):
        numbers = [int(number) for number in re.findall(r"(?:^\s*|  |--\s+)(\d+)…? ", listed)]
        used = [int(number) for number in re.findall(rf"{what}\[(\d+)\]", text)]
        assert max(used, default=0) <= max(numbers), what


def test_every_script_is_loaded() -> None:
    """A file that nobody loads is no verb."""
    loaded = set(re.findall(r'load\("(\w+)"', inspect.getsource(scripts)))
    assert loaded == {path.stem for path in VERBS}


def table() -> list[list[str]]:
    """Return the rows of the key table."""
    rows = [line.split("|")[1:-1] for line in (keys.__doc__ or "").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def test_every_key_stands_in_the_table() -> None:
    """The table in `keys.py` lists every key, those made by functions and those with a fixed name."""
    listed = {re.sub(r"<\w+>", "<>", row[0].strip("`")) for row in table()}
    made = set()
    for name, function in inspect.getmembers(keys, inspect.isfunction):
        if function.__module__ == keys.__name__ and not name.startswith("_"):
            parameters = inspect.signature(function).parameters.values()
            lanes = [parameter.annotation == "Lane" for parameter in parameters]
            key: str = function(*(Lane.JOBS if lane else "<>" for lane in lanes))
            made.add(key.replace("{jobs}", "{<>}"))
    fixed = {value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}
    assert listed == made | {value for value in fixed if not value.endswith("{")}


def test_every_row_says_when_the_key_ends() -> None:
    """The key table gives for each key a time to live or a reason for having none."""
    for key, kind, ends, meaning in table():
        assert kind in {"hash", "set", "sorted set", "stream", "string"}, key
        assert len(ends) > 4, key
        assert len(meaning) > 4, key
        if ends.startswith("never"):
            assert ";" in ends, key


def test_keys_are_made_in_one_place() -> None:
    """No module and no script but `keys.py` spells a Redis key."""
    spelled = {
        name_of(path)
        for path in SOURCES
        if path.name != "keys.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("photogpt:")
    }
    assert not spelled
    assert not [path.name for path in LUA if "photogpt:" in path.read_text(encoding="utf-8")]


def test_the_changelog_begins_with_the_version() -> None:
    """The changelog begins with the version of the package."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"^## \[?(\d+\.\d+\.\d+)", changelog, flags=re.MULTILINE)
    assert found is not None
    assert found[1] == __version__
