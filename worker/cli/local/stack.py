"""Starts everything on one machine: Valkey, a sandbox, workers and Flower, as `up` and `demo` need it."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config.settings import Settings
from config.urls import masked
from config.webhook_keys import new_webhook_secret
from worker.cli.context import CommandError
from worker.cli.local.data_directory import not_writable
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.flower import flower_argv, flower_environment
from worker.cli.local.log_files import LogTail, last_lines
from worker.cli.local.processes import Child, free_port, listens
from worker.cli.local.supervisor import Stage, Supervisor
from worker.sandbox.options import DEFAULT_KEY, DEFAULT_PORT

COMMAND = (sys.executable, "-m", "worker.cli.main")
START_S = 60.0
REDIS_PORT = 6379
READY = "worker.ready"
"""The log event of a worker that accepts work."""


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """What to start, beyond what the settings say."""

    #: Data and logs.
    directory: Path
    #: Start a Valkey instead of using PHOTOGPT_REDIS_URL.
    embedded: bool
    #: Start a sandbox instead of using the real PhotoGPT.
    sandboxed: bool
    workers: int = 1
    flower: bool = True
    #: Options of the sandbox's command line.
    sandbox_options: tuple[str, ...] = ()
    #: Environment variables for every process.
    environment: dict[str, str] = field(default_factory=dict)
    #: Preferred ports; others are used where these are taken.
    redis_port: int = REDIS_PORT
    sandbox_port: int = DEFAULT_PORT


class Stack:
    """The processes of one local service, with their addresses.

    Attributes:
        options: what was to start.
        settings: of this process.
        supervisor: runs the processes.
        environment: variables that the processes get in addition to ours.
        redis_url: of the store; without a password if it is not the embedded Valkey.
        base_url: of PhotoGPT or the sandbox.
        flower_url: of Flower, or None if it does not run.
        flower_password: for Flower's login.
        new_flower_password: whether the password was made for this run.
        new_webhook_secret: the secret made for this run, or None if one is configured.
    """

    def __init__(self, settings: Settings, options: StackOptions, supervisor: Supervisor) -> None:
        """Prepare everything; `start` starts it."""
        self.settings = settings
        self.options = options
        self.supervisor = supervisor
        self.environment = dict(options.environment)
        self.redis_url = masked(settings.store_url)
        self.base_url = settings.base_url
        self.flower_url: str | None = None
        self.flower_password = ""
        self.new_flower_password = False
        self.new_webhook_secret: str | None = None

    def start(self) -> None:
        """Start every process in order and wait until the workers accept work.

        Raises:
            CommandError: a process does not start; the caller stops the others through the supervisor.
        """
        try:
            if self.options.embedded:
                self._start_valkey()
            if self.options.sandboxed:
                self._start_sandbox()
            self._start_workers()
            if self.options.flower:
                self._start_flower()
        except OSError as error:
            raise CommandError(not_writable(self.options.directory, error) if error.filename else str(error)) from None
        except RuntimeError as error:
            raise CommandError(str(error)) from None

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.options.directory / "logs" / f"{name}.log"

    def worker_names(self) -> list[str]:
        """Return the names of the workers."""
        return [f"worker-{number}" for number in range(1, self.options.workers + 1)]

    def _start_valkey(self) -> None:
        port = free_port(self.options.redis_port)
        server = EmbeddedValkey(self.options.directory / "valkey", port=port, start=False)
        self.supervisor.add("valkey", Stage.REDIS, server.launch)
        server.wait_until_ready()
        self.redis_url = self.environment["PHOTOGPT_REDIS_URL"] = server.url

    def _start_sandbox(self) -> None:
        port = free_port(self.options.sandbox_port)
        argv = [*COMMAND, "sandbox", "--port", str(port), *self.options.sandbox_options]
        self.base_url = f"http://127.0.0.1:{port}/api"
        self.environment |= {"PHOTOGPT_BASE_URL": self.base_url, "PHOTOGPT_API_KEY": DEFAULT_KEY}
        if self.options.embedded:  # a sandbox on another port may go on with the jobs of the last one
            self.environment["PHOTOGPT_REPLACE_ACCOUNT"] = "loopback"
        log = self.log("sandbox")
        child = self.supervisor.add("sandbox", Stage.SANDBOX, lambda: Child("sandbox", argv, log=log))
        _wait(child, lambda: listens(port))

    def _start_workers(self) -> None:
        if not self.settings.webhook_secrets and "PHOTOGPT_WEBHOOK_SECRETS" not in self.environment:
            self.new_webhook_secret = new_webhook_secret("hmac")
            self.environment["PHOTOGPT_WEBHOOK_SECRETS"] = self.new_webhook_secret
        tails = [LogTail(self.log(name)) for name in self.worker_names()]
        workers = [self._start_worker(name, number) for number, name in enumerate(self.worker_names())]
        if self.settings.log_level not in {"DEBUG", "INFO"}:
            return  # the event that is waited for below has level INFO
        for child, tail in zip(workers, tails, strict=True):
            _wait(child, lambda tail=tail: any(READY in line for line in tail.new_lines()))  # type: ignore[misc]

    def _start_worker(self, name: str, number: int) -> Child:
        argv, log = [*COMMAND, "worker", "--name", name], self.log(name)
        if self.settings.http_address is None:
            env = self.environment
        else:
            env = self.environment | {"PHOTOGPT_HTTP_ADDRESS": own_address(self.settings.http_address, number)}
        return self.supervisor.add(name, Stage.WORKERS, lambda: Child(name, argv, env=env, log=log))

    def _start_flower(self) -> None:
        settings = self.settings
        password = settings.flower_password.get_secret_value() if settings.flower_password else None
        self.new_flower_password = password is None
        self.flower_password = password or secrets.token_urlsafe(9)
        address = settings.flower_address or "127.0.0.1"
        host = "127.0.0.1" if address in {"0.0.0.0", "::"} else address
        port = free_port(settings.flower_port, host=address)
        argv, log = flower_argv(settings, port=port), self.log("flower")
        env = self.environment | flower_environment(settings, self.flower_password)
        child = self.supervisor.add("flower", Stage.FLOWER, lambda: Child("flower", argv, env=env, log=log))
        path = f"/{settings.flower_url_prefix}/" if settings.flower_url_prefix else ""
        self.flower_url = f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
        _wait(child, lambda: listens(port, host=host))


def own_address(address: str, number: int) -> str:
    """Return the address on which a worker serves metrics: each has the next port, so that none takes another's."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + number}"


def _wait(child: Child, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if child.exit_code is not None or time.monotonic() > deadline:
            raise CommandError(f"{child.name} does not start; its log {child.log} ends with:\n{last_lines(child.log)}")
        time.sleep(0.05)
