"""Everything on one supervisor: what `up` and `demo` start, and the environment that their children get."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config.secrets import new_webhook_secret
from config.settings import Settings
from worker.cli.context import CommandError, masked
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.flower import flower_argv, flower_environment
from worker.cli.local.processes import Child, free_port, listens
from worker.cli.local.supervisor import Stage, Supervisor
from worker.sandbox.options import DEFAULT_KEY, DEFAULT_PORT

COMMAND = (sys.executable, "-m", "worker.cli.main")
START_S = 60.0
REDIS_PORT = 6379


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What shall run, apart from what the settings say."""

    #: Data and logs.
    directory: Path
    embedded: bool
    sandboxed: bool
    workers: int = 1
    flower: bool = True
    #: Options of the sandbox, as on its command line.
    sandbox_options: tuple[str, ...] = ()
    #: Messages go through the embedded server even if a broker is set.
    own_broker: bool = False
    #: Added to what children are told.
    environment: dict[str, str] = field(default_factory=dict)
    #: Ports to take if they are free.
    redis_port: int = REDIS_PORT
    sandbox_port: int = DEFAULT_PORT


@dataclass(kw_only=True)
class Stack:
    """What runs, and where."""

    settings: Settings
    wanted: Wanted
    supervisor: Supervisor
    #: What children are told besides our own environment; also what a producer has to set.
    environment: dict[str, str] = field(default_factory=dict)
    redis_url: str = ""
    base_url: str = ""
    flower_url: str | None = None
    flower_password: str = ""
    #: Made for this run, since none is set.
    new_webhook_secret: str | None = None
    new_flower_password: bool = False

    def log(self, name: str) -> Path:
        """Return where the output of a part goes."""
        return self.wanted.directory / "logs" / f"{name}.log"

    def worker_names(self) -> list[str]:
        """Return the names of the workers."""
        return [f"worker-{number}" for number in range(1, self.wanted.workers + 1)]


def start_stack(settings: Settings, wanted: Wanted, supervisor: Supervisor) -> Stack:
    """Start everything in order and wait until it takes work.

    Raises:
        CommandError: something does not start; what was started is the caller's to stop.
    """
    made = Stack(settings=settings, wanted=wanted, supervisor=supervisor, environment=dict(wanted.environment))
    try:
        wanted.directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # prompts, and where outputs are, stand in it
        (wanted.directory / "logs").mkdir(exist_ok=True)
        _redis(made)
        _sandbox(made)
        _workers(made)
        if wanted.flower:
            _flower(made)
    except (OSError, RuntimeError) as error:
        raise CommandError(str(error)) from None
    return made


def _redis(made: Stack) -> None:
    if not made.wanted.embedded:
        made.redis_url = masked(made.settings.store_url)
        return
    port = free_port(made.wanted.redis_port)
    servers: list[EmbeddedValkey] = []

    def start() -> Child:
        if servers:
            servers[0].start()
        else:
            servers.append(EmbeddedValkey(made.wanted.directory / "valkey", port=port))
        return servers[0].child

    made.supervisor.add("valkey", Stage.REDIS, start)
    made.redis_url = made.environment["PHOTOGPT_REDIS_URL"] = servers[0].url
    if made.wanted.own_broker:
        made.environment["PHOTOGPT_BROKER_URL"] = servers[0].url


def _sandbox(made: Stack) -> None:
    if not made.wanted.sandboxed:
        made.base_url = made.settings.base_url
        return
    port = free_port(made.wanted.sandbox_port)
    argv = [*COMMAND, "sandbox", "--port", str(port), *made.wanted.sandbox_options]
    made.base_url = f"http://127.0.0.1:{port}/api"
    made.environment |= {"PHOTOGPT_BASE_URL": made.base_url, "PHOTOGPT_API_KEY": DEFAULT_KEY}
    log = made.log("sandbox")
    child = made.supervisor.add("sandbox", Stage.SANDBOX, lambda: Child("sandbox", argv, log=log))
    _wait(child, lambda: listens(port))


def _workers(made: Stack) -> None:
    if not made.settings.webhook_secrets and "PHOTOGPT_WEBHOOK_SECRETS" not in made.environment:
        made.new_webhook_secret = new_webhook_secret("hmac")
        made.environment["PHOTOGPT_WEBHOOK_SECRETS"] = made.new_webhook_secret
    started = [(name, _read_from(made.log(name))) for name in made.worker_names()]
    for name, _ in started:
        _worker(made, name)
    if made.settings.log_level in {"DEBUG", "INFO"}:  # the line that is waited for is an INFO
        for name, offset in started:
            log = made.log(name)
            _wait(made.supervisor.child(name), lambda log=log, offset=offset: _says_ready(log, offset))  # type: ignore[misc]


def _worker(made: Stack, name: str) -> None:
    argv = [*COMMAND, "worker", "--name", name]
    log = made.log(name)
    made.supervisor.add(name, Stage.WORKERS, lambda: Child(name, argv, env=made.environment, log=log))


def _flower(made: Stack) -> None:
    settings = made.settings
    password = settings.flower_password.get_secret_value() if settings.flower_password else None
    made.new_flower_password = password is None
    made.flower_password = password or secrets.token_urlsafe(9)
    host = settings.flower_address or "127.0.0.1"
    port = free_port(settings.flower_port, host=host)
    argv = flower_argv(settings, port=port)
    env = made.environment | flower_environment(settings, made.flower_password)
    log = made.log("flower")
    child = made.supervisor.add("flower", Stage.FLOWER, lambda: Child("flower", argv, env=env, log=log))
    reached = "127.0.0.1" if host in {"0.0.0.0", "::"} else host
    made.flower_url = f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"
    _wait(child, lambda: listens(port, host=reached))


def _read_from(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _says_ready(log: Path, offset: int) -> bool:
    with log.open("rb") as file:
        file.seek(offset)
        return b"worker.ready" in file.read()


def _wait(child: Child, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if child.exit_code is not None or time.monotonic() > deadline:
            raise CommandError(f"{child.name} does not start; its log {child.log} ends with:\n{end_of(child.log)}")
        time.sleep(0.05)


def end_of(log: Path | None, lines: int = 12) -> str:
    """Return the last lines of a log, indented."""
    text = log.read_text(errors="replace") if log and log.exists() else ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
