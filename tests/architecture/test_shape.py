"""Sizes of files, the key table, the heads of the scripts, and the version."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import get_type_hints

import pytest

from tests.architecture.test_layers import ROOT, SOURCES, name_of
from worker import __version__
from worker.domain.lane import Lane
from worker.store import keys, scripts, state_change

MAX_LINES = 300
MAX_LUA_LINES = 60
MAX_LUA_COLUMNS = 120
LUA = sorted((ROOT / "worker" / "store" / "lua").rglob("*.lua"))
VERBS = [path for path in LUA if path.parent.name == "lua"]
BROKER = [path for path in LUA if path.parent.name == "broker"]


def test_modules_are_small() -> None:
    """No Python module has more than 300 lines."""
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_scripts_are_small(path: Path) -> None:
    """No Lua script has more than 60 lines, and no line more than 120 characters."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LUA_LINES
    assert [line for line in lines if len(line) > MAX_LUA_COLUMNS] == []


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_lua_names_its_keys_and_arguments(path: Path) -> None:
    """No Lua file reads a key or an argument by its number, and only the loader's code reads KEYS and ARGV."""
    code = "\n".join(line.partition("--")[0] for line in path.read_text(encoding="utf-8").splitlines())
    assert not re.search(r"\b(KEYS|ARGV)\b", code)


@pytest.mark.parametrize("path", VERBS + BROKER, ids=lambda path: path.stem)
def test_a_script_has_a_head(path: Path) -> None:
    """The head of a script says what the script does, takes and returns, before the first line of code."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("--"))]
    assert len(head[0]) > len("-- ")
    for word in ("-- KEYS ", "-- ARGV ", "-- Returns "):
        assert any(line.startswith(word) for line in head), word


@pytest.mark.parametrize("path", VERBS + BROKER, ids=lambda path: path.stem)
def test_a_script_uses_every_name_of_its_head(path: Path) -> None:
    """A key or an argument that the code of a script does not use is not in its head."""
    text = path.read_text(encoding="utf-8")
    code = "\n".join(line.partition("--")[0] for line in text.splitlines())
    assert {name for name in scripts.read_head(text).names if not re.search(rf"\b{name}\b", code)} == set()


def test_every_script_is_loaded() -> None:
    """Every script is loaded, under the name of its file."""
    loaded = re.findall(r'self\.(\w+) = load\("(\w+)"\)', inspect.getsource(scripts))
    assert {file for name, file in loaded if name == file} == {path.stem for path in VERBS}


def test_every_library_is_used() -> None:
    """Every file of Lua functions is used by a script; the prelude is used by all."""
    used = {name for path in VERBS for name in scripts.read_head(path.read_text(encoding="utf-8")).uses}
    assert used | {"prelude"} == {path.stem for path in LUA if path.parent.name == "lib"}


def keywords_of(call: ast.Call) -> set[str]:
    """Return the keywords of a call; `**name(…)` stands for the keys of the TypedDict that the function returns."""
    found: set[str] = set()
    for keyword in call.keywords:
        if keyword.arg is not None:
            found.add(keyword.arg)
        else:
            assert isinstance(keyword.value, ast.Call)
            assert isinstance(keyword.value.func, ast.Name)
            function = getattr(state_change, keyword.value.func.id)
            found |= set(get_type_hints(get_type_hints(function, vars(state_change) | ONLY_TYPES)["return"]))
    return found


ONLY_TYPES = dict.fromkeys(("BodyOptions", "Delivery", "Outcome", "ResultUpdate", "Retention"), object)
"""What `state_change` imports for its annotations only."""


def test_calls_name_what_the_heads_name() -> None:
    """Every call of a script in the store names each key and argument of the script's head, and nothing else."""
    called = set()
    for path in sorted((ROOT / "worker" / "store").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("self._scripts."):
                verb = ast.unparse(node.func).removeprefix("self._scripts.")
                (script,) = [each for each in VERBS if each.stem == verb]
                head = scripts.read_head(script.read_text(encoding="utf-8"))
                assert keywords_of(node) - {"client"} == head.names, verb
                called.add(verb)
    assert called == {path.stem for path in VERBS}


def table() -> list[list[str]]:
    """Return the rows of the key table."""
    rows = [line.split("|")[1:-1] for line in (keys.__doc__ or "").splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def test_every_key_stands_in_the_table() -> None:
    """The table in `keys.py` lists every key, those made by functions and those with a fixed name."""
    listed = {re.sub(r"<\w+>", "<>", row[0].strip("`")) for row in table()}
    made, own = set(), keys.Keys()
    for name, member in inspect.getmembers(keys.Keys):
        if isinstance(member, property):
            made.add(getattr(own, name))
        elif inspect.isfunction(member) and not name.startswith("_"):
            parameters = list(inspect.signature(member).parameters.values())[1:]
            lanes = [parameter.annotation == "Lane" for parameter in parameters]
            key: str = member(own, *(Lane.JOBS if lane else "<>" for lane in lanes))
            made.add(key.replace("{jobs}", "{<>}"))
    assert listed == made


def test_every_row_says_when_the_key_ends() -> None:
    """The key table gives for each key a time to live or a reason for having none."""
    for key, kind, ends, meaning in table():
        assert kind in {"hash", "list", "set", "sorted set", "stream", "string"}, key
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
    spelled_in_lua = re.compile(r"photogpt:|\.\. '[}:]")  # a key, or what is appended to make one
    assert not [path.name for path in VERBS if spelled_in_lua.search(path.read_text(encoding="utf-8"))]


def test_the_changelog_begins_with_the_version() -> None:
    """The changelog begins with the version of the package."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"^## \[?(\d+\.\d+\.\d+)", changelog, flags=re.MULTILINE)
    assert found is not None
    assert found[1] == __version__
