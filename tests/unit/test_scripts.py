"""The loader of the Lua scripts: heads, locals and calls."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
import redis

from tests.running import keys
from worker.store.scripts import Script, Scripts, locals_of, read_head

HEAD = """-- Do something.
--
-- KEYS job records:list
-- ARGV id ttl:number
-- ARGV polled:flag fields:list rows:list
-- USES events
-- Returns 1.
return 1
"""


@pytest.fixture
def client() -> MagicMock:
    """A client that answers each command with the command."""
    made = MagicMock(spec=redis.Redis)
    made.execute_command.side_effect = lambda *command: command
    return made


@pytest.fixture
def scripts(client: MagicMock) -> Scripts:
    """Every script, on that client."""
    return Scripts(client, keys, max_countdown_s=8)


def test_a_head_is_read() -> None:
    """A head gives the names and types of keys and arguments in order, and the files that it uses."""
    head = read_head(HEAD)
    assert [(each.name, each.type) for each in head.keys] == [("job", "text"), ("records", "list")]
    assert [(each.name, each.type) for each in head.args] == [
        ("id", "text"),
        ("ttl", "number"),
        ("polled", "flag"),
        ("fields", "list"),
        ("rows", "list"),
    ]
    assert head.uses == ("events",)


def test_names_become_locals() -> None:
    """Keys and arguments become local variables of their type; a list has its length in front of its items."""
    assert locals_of(read_head(HEAD)).splitlines() == [
        "local job = KEYS[1]",
        "local records = slice(KEYS, 2, #KEYS)",
        "local id, ttl, polled = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'",
        "local next_arg, fields, rows = 4",
        "fields, next_arg = slice(ARGV, next_arg + 1, next_arg + tonumber(ARGV[next_arg]))",
        "rows, next_arg = slice(ARGV, next_arg + 1, next_arg + tonumber(ARGV[next_arg]))",
    ]


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ("-- KEYS job\n-- ARGV job", "twice"),
        ("-- KEYS job:number", "keys are text"),
        ("-- KEYS jobs:list lists:list", "only the last"),
        ("-- ARGV rows:list id", "after a list"),
        ("-- ARGV id:integer", "is no name"),
        ("-- ARGV 1", "is no name"),
    ],
)
def test_a_malformed_head_is_refused(head: str, problem: str) -> None:
    """A malformed head raises an error that says what is wrong with it."""
    with pytest.raises(ValueError, match=problem):
        read_head(head)


def test_names_do_not_hide_functions(client: MagicMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that hides a Lua function is refused when the store opens, and the error names the file."""
    monkeypatch.setattr("worker.store.scripts._read", lambda _: "-- KEYS job\n-- ARGV now\n")
    with pytest.raises(ValueError, match=r"count\.lua: now hides"):
        Script(client, "count", "local function now() return 1 end\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"job": "a"}, "missing .'field'."),
        ({"job": "a", "field": "b", "more": "c"}, "spare .'more'."),
        ({"job": "a", "feild": "b"}, "missing .'field'., spare .'feild'."),
    ],
)
def test_a_call_with_wrong_names_is_refused(scripts: Scripts, arguments: dict[str, str], problem: str) -> None:
    """A call that misses a name or has a spare one raises before anything is sent."""
    with pytest.raises(TypeError, match=rf"count\.lua: .*{problem}"):
        scripts.count(**arguments)


def test_values_are_encoded(scripts: Scripts) -> None:
    """None is sent as '', a flag as 1 or 0, a float with microseconds, and a list behind its length."""
    name, _, keys_sent, *sent = scripts.reschedule(
        lane="l", loop="o", intents="i", job_records=["a", "b"], gap=0.25, pause=0, rows=[None, True, False, 1.5, "x"]
    )
    assert (name, sent[:keys_sent]) == ("EVALSHA", ["l", "o", "i", "a", "b"])
    assert sent[keys_sent:] == ["0.250000", 0, 5, "", 1, 0, "1.500000", "x"]
