"""Loads the Lua scripts and calls them with named arguments.

Each file in `lua/` is one script, and its head is its contract:

    -- KEYS job events delivery_records:list
    -- ARGV id ttl:number polled:flag fields:list webhooks:list
    -- USES events deliveries
    -- Returns {'accepted', tick}

`KEYS` and `ARGV` name the keys and arguments in order; further lines of the same kind continue the list. A name becomes
a local variable in Lua and a keyword argument in Python. `name` is text, `name:number` a number (nil for None),
`name:flag` true or false, and `name:list` a table; lists come last, and there is at most one list of keys. `USES` names
the files of `lua/lib/` that stand in front of the script. Their functions take parameters and see none of these names.

The heads are checked when the store opens, and the names of every call before it is sent.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

from worker.domain.lane import SOON_S
from worker.store.round_trip import RoundTrips

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import redis

    from worker.store.keys import Keys

LUA = resources.files("worker.store") / "lua"

DECLARATION = re.compile(r"^-- (KEYS|ARGV|USES) (.*)$", re.MULTILINE)
NAME = re.compile(r"([a-z]\w*)(?::(number|flag|list))?\Z")
LOCAL = re.compile(r"^local (?:function )?(\w+(?:, \w+)*)", re.MULTILINE)

FORMS = {"text": "{0}", "number": "tonumber({0})", "flag": "{0} == '1'"}
"""What an argument is in Lua, by type."""


@dataclass(frozen=True, slots=True)
class Name:
    """One key or argument in the head of a script."""

    name: str
    #: `text`, `number`, `flag` or `list`.
    type: str


@dataclass(frozen=True)
class Head:
    """The contract of a script."""

    keys: tuple[Name, ...]
    args: tuple[Name, ...]
    uses: tuple[str, ...]

    @cached_property
    def names(self) -> frozenset[str]:
        """The keywords of a call."""
        return frozenset(each.name for each in (*self.keys, *self.args))


def read_head(text: str) -> Head:
    """Return the contract in the head of a script.

    Raises:
        ValueError: a name is malformed or stands there twice, or a list is not last.
    """
    words: dict[str, list[str]] = {"KEYS": [], "ARGV": [], "USES": []}
    for kind, line in DECLARATION.findall(text):
        words[kind] += line.split()
    head = Head(_names(words["KEYS"]), _names(words["ARGV"]), tuple(words["USES"]))
    if len(head.names) < len(head.keys) + len(head.args):
        raise ValueError("a name stands in KEYS or ARGV twice")
    if any(each.type == "list" for each in head.keys[:-1]) or {"number", "flag"} & {each.type for each in head.keys}:
        raise ValueError("keys are text, and only the last may be a list")
    return head


def _names(words: Iterable[str]) -> tuple[Name, ...]:
    found: list[Name] = []
    for word in words:
        match = NAME.match(word)
        if match is None:
            raise ValueError(f"{word!r} is no name, name:number, name:flag or name:list")
        found.append(Name(match[1], match[2] or "text"))
        if found[-1].type != "list" and any(each.type == "list" for each in found[:-1]):
            raise ValueError(f"{word} stands after a list")
    return tuple(found)


def locals_of(head: Head) -> str:
    """Return the Lua code that gives keys and arguments their names."""
    lines = [*_locals("KEYS", head.keys), *_locals("ARGV", head.args)]
    return "".join(f"{line}\n" for line in lines)


def _locals(array: str, names: Sequence[Name]) -> Iterable[str]:
    single = [each for each in names if each.type != "list"]
    if single:
        values = (FORMS[each.type].format(f"{array}[{number}]") for number, each in enumerate(single, start=1))
        yield f"local {', '.join(each.name for each in single)} = {', '.join(values)}"
    lists = names[len(single) :]
    if lists and array == "KEYS":
        yield f"local {lists[0].name} = slice(KEYS, {len(single) + 1}, #KEYS)"
    elif lists:  # the length of a list stands in front of its items
        yield f"local next_arg, {', '.join(each.name for each in lists)} = {len(single) + 1}"
        yield from (
            f"{each.name}, next_arg = slice(ARGV, next_arg + 1, next_arg + tonumber(ARGV[next_arg]))" for each in lists
        )


def encode(value: Any) -> Any:
    """Return a key or argument as Redis takes it: None is '', a flag is 1 or 0, a float has microseconds."""
    match value:
        case None:
            return ""
        case bool():
            return int(value)
        case float():
            return f"{value:.6f}"
        case str() if not value.isascii():
            return value.encode(errors="replace")  # hiredis refuses half a surrogate pair, which JSON can spell
        case _:
            return value


class Script:
    """One script, registered with a client. It loads itself again after a restart of the server."""

    def __init__(self, client: redis.Redis, verb: str, prelude: str, *, round_trips: RoundTrips | None = None) -> None:
        """Read a file; with `round_trips`, calls of several threads share them.

        Raises:
            ValueError: its head is malformed, or one of its names hides a function or constant.
        """
        text = _read(verb)
        try:
            self.head = read_head(text)
            libraries = prelude + "".join(_read(f"lib/{name}") for name in self.head.uses)
            hidden = self.head.names & {name for names in LOCAL.findall(libraries) for name in names.split(", ")}
            if hidden:
                raise ValueError(f"{', '.join(sorted(hidden))} hides a function or constant")
        except ValueError as error:
            raise ValueError(f"{verb}.lua: {error}") from None
        self._verb = verb
        self._round_trips = round_trips
        self._script: Any = client.register_script(f"{libraries}{locals_of(self.head)}{text}")

    @property
    def text(self) -> str:
        """The Lua code that the server runs."""
        return str(self._script.script)

    def __call__(self, *, client: Any = None, **values: Any) -> Any:
        """Run the script.

        Args:
            client: a pipeline to run it in; else the client that it is registered with.
            values: every key and argument of the head.

        Raises:
            TypeError: a name is wrong, missing or spare.
        """
        if values.keys() != self.head.names:
            missing, spare = sorted(self.head.names - values.keys()), sorted(values.keys() - self.head.names)
            raise TypeError(f"{self._verb}.lua: missing {missing}, spare {spare}")
        keys = [item for each in self.head.keys for item in _items(each, values[each.name])]
        args: list[Any] = []
        for each in self.head.args:
            items = _items(each, values[each.name])
            args += [len(items), *items] if each.type == "list" else items
        if client is None and self._round_trips is not None:
            with contextlib.suppress(NoScriptError):
                return self._round_trips.call(self._script.sha, keys, args)
        return self._script(keys=keys, args=args, client=client)


def _items(name: Name, value: Any) -> list[Any]:
    return [encode(item) for item in value] if name.type == "list" else [encode(value)]


def _read(name: str) -> str:
    return (LUA / f"{name}.lua").read_text(encoding="utf-8")


class Scripts:
    """Every script."""

    def __init__(self, client: redis.Redis, keys: Keys, *, max_countdown_s: float) -> None:
        """Load the files for the keys of one namespace; a message waits in a worker for at most `max_countdown_s`."""
        self.keys = keys
        prelude = f"local MAX_COUNTDOWN_S, SOON_S = {max_countdown_s:.3f}, {SOON_S:.3f}\n{_read('lib/prelude')}"

        round_trips = RoundTrips(client)

        def load(verb: str) -> Script:
            return Script(client, verb, prelude, round_trips=round_trips)

        self.accept = load("accept")
        self.acquire_slot = load("acquire_slot")
        self.admit = load("admit")
        self.advance = load("advance")
        self.apply_page = load("apply_page")
        self.begin_storing = load("begin_storing")
        self.choose_replay = load("choose_replay")
        self.claim = load("claim")
        self.count = load("count")
        self.count_rejected = load("count_rejected")
        self.due_in = load("due_in")
        self.ensure_scheduled = load("ensure_scheduled")
        self.ensure_ticks = load("ensure_ticks")
        self.extend_lease = load("extend_lease")
        self.finish = load("finish")
        self.join_batch = load("join_batch")
        self.mark_published = load("mark_published")
        self.mark_stored = load("mark_stored")
        self.mark_worker = load("mark_worker")
        self.read_fleet = load("read_fleet")
        self.record_acceptance = load("record_acceptance")
        self.record_attempt = load("record_attempt")
        self.record_intent = load("record_intent")
        self.register_account = load("register_account")
        self.repeat_tick = load("repeat_tick")
        self.requeue = load("requeue")
        self.resend = load("resend")
        self.reschedule = load("reschedule")
        self.reschedule_list_poll = load("reschedule_list_poll")
        self.resume_single_polls = load("resume_single_polls")
        self.sample_in_flight = load("sample_in_flight")
        self.start = load("start")
        self.store_again = load("store_again")
        self.take_rate_token = load("take_rate_token")
        self.update_files = load("update_files")

    def load(self, client: redis.Redis) -> None:
        """Load all scripts into the server in one round trip; else the first call of each takes three."""
        pipeline: Any = client.pipeline(transaction=False)
        for script in vars(self).values():
            if isinstance(script, Script):
                pipeline.script_load(script.text)
        pipeline.execute()
