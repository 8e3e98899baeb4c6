"""Loads the Lua files. One file is one verb; its head says what it takes and returns."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

LUA = resources.files("worker.store") / "lua"


class Scripts:
    """The scripts, registered with one client. Run again after a restart of the server, they load themselves."""

    def __init__(self, client: redis.Redis, *, max_countdown_s: float) -> None:
        """Read every file and put the prelude in front."""
        head = f"local LONGEST = {max_countdown_s:.3f}\n"
        prelude = head + (LUA / "lib" / "prelude.lua").read_text(encoding="utf-8")

        def load(verb: str, *before: str) -> Any:
            names = [*(f"lib/{name}" for name in before), verb]
            files = [(LUA / f"{name}.lua").read_text(encoding="utf-8") for name in names]
            return client.register_script(prelude + "".join(files))

        self.accept = load("accept", "publish", "fair_queue")
        self.admit = load("admit")
        self.advance = load("advance", "publish")
        self.record_attempt = load("record_attempt", "endpoint_health", "delivery_end")
        self.claim = load("claim")
        self.due_in = load("due_in")
        self.acquire_slot = load("acquire_slot", "endpoint_health", "defer")
        self.finish = load("finish", "publish", "durations")
        self.requeue = load("requeue", "fair_queue")
        self.record_intent = load("record_intent")
        self.take_rate_token = load("take_rate_token")
        self.reschedule = load("reschedule")
        self.resend = load("resend")
        self.reschedule_list_poll = load("reschedule_list_poll")
        self.record_acceptance = load("record_acceptance")
        self.ensure_scheduled = load("ensure_scheduled")
        self.sample_ages = load("sample_ages")
        self.apply_page = load("apply_page")
        self.ensure_tick = load("ensure_tick")
