"""Loads the Lua files. One file is one verb; its head says what it takes and returns."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

LUA = resources.files("worker.store") / "lua"


class Scripts:
    """The scripts, registered with one client. Run again after a restart of the server, they load themselves."""

    def __init__(self, client: redis.Redis, *, longest_countdown_s: float) -> None:
        """Read every file and put the prelude in front."""
        head = f"local LONGEST = {longest_countdown_s:.3f}\n"
        prelude = head + (LUA / "prelude.lua").read_text(encoding="utf-8")

        def load(verb: str, *before: str) -> Any:
            files = [(LUA / f"{name}.lua").read_text(encoding="utf-8") for name in (*before, verb)]
            return client.register_script(prelude + "".join(files))

        self.accept = load("accept", "telling", "fair")
        self.admit = load("admit")
        self.advance = load("advance", "telling")
        self.attempted = load("attempted", "health", "ending")
        self.claim = load("claim")
        self.due = load("due")
        self.enter = load("enter", "health", "put_off")
        self.finish = load("finish", "telling", "learning")
        self.give_back = load("give_back", "fair")
        self.intend = load("intend")
        self.permit = load("permit")
        self.postpone = load("postpone")
        self.resend = load("resend")
        self.rest = load("rest")
        self.said_yes = load("said_yes")
        self.stir = load("stir")
        self.survey = load("survey")
        self.swept = load("swept")
        self.watch = load("watch")
