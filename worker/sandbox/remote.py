"""A sandbox in its own process, and a typed client of its control API."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlsplit

import requests

from worker.sandbox.options import DEFAULT_KEY
from worker.sandbox.state.records import JsonObject

_START_S = 30.0
_MAX_PER_REQUEST = 5000
_REPOSITORY = Path(__file__).resolve().parents[2]


class SandboxControl:
    """Client of the control API, for tests and benchmarks."""

    def __init__(self, base_url: str, timeout_s: float = 30.0) -> None:
        address = urlsplit(base_url)
        self._prefix = f"{address.scheme}://{address.netloc}/_sandbox/"
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = False

    def state(self, *, lists: bool = True) -> JsonObject:
        """Return all counts, with the lists of generations, polls and models."""
        state: JsonObject = self._call("GET", "state", query={} if lists else {"lists": "0"})
        return state

    def generations(self, **query: str) -> list[JsonObject]:
        """Return generations, oldest first, by `kind`, `status`, `model` or `contains`."""
        generations: list[JsonObject] = self._call("GET", "generations", query=query)
        return generations

    def make(self, count: int, *, duration: str, **more: Any) -> list[str]:
        """Create many generations, a few thousand per request; `more` may set `kind` and `request`."""
        made: list[str] = []
        while len(made) < count:
            body = {"count": min(_MAX_PER_REQUEST, count - len(made)), "duration": duration, **more}
            made += self._call("POST", "generations", body)
        return made

    def ends(self) -> list[JsonObject]:
        """Return `jobId`, `endedAt`, `noticedAfterS` and `listedAfterS` (or None) of every ended generation."""
        ends: list[JsonObject] = self._call("GET", "ends")
        return ends

    def faults(self, rules: JsonObject | Sequence[JsonObject]) -> list[JsonObject]:
        """Append rules to those in force; return all."""
        live: list[JsonObject] = self._call("POST", "faults", rules)
        return live

    def live_faults(self) -> list[JsonObject]:
        """Return the rules in force, each with how often it `matched` and `fired`."""
        live: list[JsonObject] = self._call("GET", "faults")
        return live

    def clear(self) -> None:
        """Remove all fault rules."""
        self._call("DELETE", "faults")

    def model(self, model_id: str, **settings: Any) -> JsonObject:
        """Create or change a model: `status`, `images`, and a directive for its trainings (`duration_s`, `end`, …)."""
        model: JsonObject = self._call("POST", "models", {"id": model_id, **settings})
        return model

    def keys(self, *, add: Sequence[str] = (), revoke: Sequence[str] = ()) -> list[str]:
        """Add and revoke API keys; return the keys accepted now."""
        keys: list[str] = self._call("POST", "keys", {"add": list(add), "revoke": list(revoke)})
        return keys

    def options(self, **changes: Any) -> JsonObject:
        """Change options of the running sandbox: `max_active=3`, `durations={"image": "0.2"}`."""
        options: JsonObject = self._call("POST", "options", changes)
        return options

    def reset(self) -> None:
        """Delete all records and return to the options of the start."""
        self._call("POST", "reset")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _call(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        answer = self._session.request(method, self._prefix + path, json=body, params=query, timeout=self._timeout_s)
        envelope = answer.json()
        if answer.status_code != 200:
            raise ValueError(f"the sandbox refused {method} {path}: {envelope['message']}")
        return envelope["result"]


class SandboxProcess:
    """A sandbox on a free loopback port for the length of a `with` block.

    Arguments are those of the command line, such as `"--duration", "image=0.2"`. A restart keeps the port; records
    survive it only with `--journal`.
    """

    def __init__(self, *arguments: str, key: str = DEFAULT_KEY, port: int = 0) -> None:
        self.key = key
        self.base_url = ""
        self._arguments = arguments
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self._control: SandboxControl | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def control(self) -> SandboxControl:
        """Return the control client of the running sandbox."""
        if self._control is None:
            raise RuntimeError("the sandbox is not running")
        return self._control

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that every API request needs."""
        return {"Authorization": f"Bearer {self.key}", "API-Version": "1"}

    @property
    def pid(self) -> int:
        """Return the process id of the running sandbox."""
        if self._process is None:
            raise RuntimeError("the sandbox is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it prints its address."""
        command = [sys.executable, "-m", "worker.sandbox", "--port", str(self._port), "--key", self.key]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [*command, *self._arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": _python_path()},
        )
        line = _first_line(self._process)
        self.base_url = line.rpartition(" ")[2].strip()
        self._port = urlsplit(self.base_url).port or 0
        self._control = SandboxControl(self.base_url)

    def stop(self) -> None:
        """Stop the process with SIGTERM."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop the process with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the process if it runs, then start it on the same port."""
        self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _stdout(self._process).close()
        self._process = None


def _first_line(process: "subprocess.Popen[str]") -> str:
    """Return the line that the sandbox prints when it listens; without one, kill the process."""
    stdout = _stdout(process)
    ready, _, _ = select.select([stdout], [], [], _START_S)
    line = stdout.readline() if ready else ""
    if not line.startswith("sandbox listening on "):
        process.kill()
        process.wait()
        stdout.close()
        raise RuntimeError(f"the sandbox did not start (exit code {process.returncode}); its stderr says why")
    return line


def _stdout(process: "subprocess.Popen[str]") -> IO[str]:
    if process.stdout is None:
        raise RuntimeError("the sandbox was started without a pipe")
    return process.stdout


def _python_path() -> str:
    """Return a PYTHONPATH with which the child finds this package from any working directory."""
    return os.pathsep.join(filter(None, [str(_REPOSITORY), os.environ.get("PYTHONPATH")]))
