"""A Valkey and a sandbox for one run, each in its own process on loopback."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import redis

from ops.bench.plan import Plan
from worker.cli.local.embedded import EmbeddedValkey
from worker.domain.times import parse_time
from worker.sandbox.remote import SandboxControl, SandboxProcess

KEY = "sandbox-key"
REQUEST = {"modelID": "nanobanana", "prompt": "a quiet harbour at dawn", "aspectRatio": "1:1"}


class Stage:
    """New processes for every run, so that no run sees the data of another."""

    def __init__(self, plan: Plan, name: str, *, duration: str | None = None) -> None:
        """Set names and options; processes start on entering."""
        self.plan = plan
        self.folder = plan.folder / name
        distribution = f"image={duration or plan.duration}"
        self._arguments = ["--duration", distribution, "--seed", str(plan.seed), "--page-size", str(plan.page_size)]
        if plan.rate_limit:
            self._arguments += ["--rate-limit", str(plan.rate_limit), "--retry-after", "1"]

    def __enter__(self) -> Self:
        """Start both."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sandbox = SandboxProcess(*self._arguments, key=KEY)
        self._sandbox.start()
        try:
            self._valkey = EmbeddedValkey(self.folder / "valkey")
        except BaseException:
            self._sandbox.stop()
            raise
        self.redis = redis.Redis.from_url(self._valkey.url)
        if self.plan.failing:
            self.control.faults({"match": "trigger*", "action": {"directive": {"error": "failed by the benchmark"}}})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop both."""
        self.redis.close()
        self._valkey.stop()
        self._sandbox.stop()

    @property
    def redis_url(self) -> str:
        """Return Redis's URL."""
        return self._valkey.url

    @property
    def base_url(self) -> str:
        """Return the sandbox's base URL."""
        return self._sandbox.base_url

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that every API request needs."""
        return self._sandbox.headers

    @property
    def control(self) -> SandboxControl:
        """Return the sandbox's control client."""
        return self._sandbox.control

    def sandbox_pid(self) -> int:
        """Return the sandbox's process id. Where the sandbox uses a whole core, it is the limit that is measured."""
        return self._sandbox.pid

    def env(self, **more: object) -> dict[str, str]:
        """Return the environment of a design's process, without other PHOTOGPT_ variables."""
        settings = {
            "PHOTOGPT_REDIS_URL": self.redis_url,
            "PHOTOGPT_BASE_URL": self.base_url,
            "PHOTOGPT_API_KEY": KEY,
            "PHOTOGPT_LOG_LEVEL": "WARNING",
        }
        cleared = {name: "" for name in os.environ if name.startswith("PHOTOGPT_")}
        return cleared | settings | {name: str(value) for name, value in more.items()}

    def counts(self) -> dict[str, Any]:
        """Return the sandbox's counters."""
        return self.control.state(lists=False)

    def requests(self) -> int:
        """Return the number of API requests that the sandbox got."""
        return sum(self.counts()["requests"].values())

    def delays(self, among: set[str] | None = None) -> list[float]:
        """Return delays: seconds from a generation's end to the first GET /jobs/{id} that showed it.

        An end not noticed yet counts with the seconds until now. A failure may be noticed on a page of GET /jobs, which
        shows its message.
        """
        now, delays = time.time(), []
        for end in self.control.ends():
            if among is None or end["jobId"] in among:
                noticed = end["noticedAfterS"]
                if self.plan.failing:
                    noticed = min((at for at in (noticed, end["listedAfterS"]) if at is not None), default=None)
                delays.append(now - end["endedAt"] if noticed is None else noticed)
        return delays

    def ended(self) -> set[str]:
        """Return the ids of the generations that have ended."""
        return {str(end["jobId"]) for end in self.control.ends()}

    def durations(self) -> list[float]:
        """Return the durations of the generations that have ended, seconds."""
        ended = {end["jobId"]: end["endedAt"] for end in self.control.ends()}
        return [
            ended[each["jobId"]] - datetime.fromisoformat(each["createdAt"]).timestamp()
            for each in self.control.generations()
            if each["jobId"] in ended
        ]

    def created_after(self, at: float) -> list[float]:
        """Return the seconds from a time (epoch seconds) to the creation of each generation created since."""
        created = [parse_time(each["createdAt"]) or 0.0 for each in self.control.generations()]
        return [each - at for each in created if each >= at]

    def redis_bytes(self) -> int:
        """Return Redis's memory without client and append-only-file buffers."""
        info: dict[str, Any] = self.redis.info("memory")
        return int(info["used_memory"] - info.get("mem_clients_normal", 0) - info.get("mem_aof_buffer", 0))


def wait(condition: Callable[[], object], seconds: float, sentence: str) -> None:
    """Wait until the condition is true.

    Raises:
        TimeoutError: it was not within the given seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {sentence}")
        time.sleep(0.2)
