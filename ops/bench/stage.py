"""A Valkey and a sandbox for one run, each a process of its own on loopback, gone afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import redis

from ops.bench.plan import Plan
from worker.cli.local.embedded import EmbeddedValkey
from worker.sandbox.remote import SandboxControl, SandboxProcess

KEY = "sandbox-key"
REQUEST = {"modelID": "nanobanana", "prompt": "a quiet harbour at dawn", "aspectRatio": "1:1"}


class Stage:
    """Fresh for every run, so that none finds what another left."""

    def __init__(self, plan: Plan, name: str, *, duration: str | None = None) -> None:
        """Name it; nothing runs yet."""
        self.plan = plan
        self.folder = plan.folder / name
        law = f"image={duration or plan.duration}"
        self._arguments = ["--duration", law, "--seed", str(plan.seed), "--page-size", str(plan.page_size)]

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
            self.control.faults({"match": "trigger*", "action": {"directive": {"error": "the benchmark wants it to fail"}}})
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
        """Where Redis is."""
        return self._valkey.url

    @property
    def base_url(self) -> str:
        """Where PhotoGPT is."""
        return self._sandbox.base_url

    @property
    def headers(self) -> dict[str, str]:
        """What every request to PhotoGPT carries."""
        return self._sandbox.headers

    @property
    def control(self) -> SandboxControl:
        """The sandbox's books."""
        return self._sandbox.control

    def sandbox_pid(self) -> int:
        """Return the process of the sandbox: where it takes a whole core, it is what is measured."""
        return self._sandbox.pid

    def env(self, **more: object) -> dict[str, str]:
        """Return the environment of a design's process: only what the benchmark says, and the machine's own."""
        said = {
            "PHOTOGPT_REDIS_URL": self.redis_url,
            "PHOTOGPT_BASE_URL": self.base_url,
            "PHOTOGPT_API_KEY": KEY,
            "PHOTOGPT_LOG_LEVEL": "WARNING",
        }
        cleared = {name: "" for name in os.environ if name.startswith("PHOTOGPT_")}
        return cleared | said | {name: str(value) for name, value in more.items()}

    def books(self) -> dict[str, Any]:
        """Return what the sandbox counted."""
        return self.control.state(lists=False)

    def requests(self) -> int:
        """Return how many requests the sandbox got, control apart."""
        return sum(self.books()["requests"].values())

    def lags(self, among: set[str] | None = None) -> list[float]:
        """Return noticing lags: seconds from a generation's end to the GET /jobs/{id} that first told it.

        Where nobody has noticed so far, the seconds that have passed since: the lag is at least that. A failure may be
        known from a page of GET /jobs alone, which tells its message.
        """
        now, lags = time.time(), []
        for end in self.control.ends():
            if among is None or end["jobId"] in among:
                noticed = end["noticedAfterS"]
                if self.plan.failing:
                    noticed = min((at for at in (noticed, end["listedAfterS"]) if at is not None), default=None)
                lags.append(now - end["endedAt"] if noticed is None else noticed)
        return lags

    def redis_bytes(self) -> int:
        """Return what Redis holds, without its clients' buffers."""
        info: dict[str, Any] = self.redis.info("memory")
        return int(info["used_memory"] - info.get("mem_clients_normal", 0) - info.get("mem_aof_buffer", 0))


def wait(found: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something is true.

    Raises:
        TimeoutError: it was not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.2)
