"""`photogpt-worker flower`, and how Flower is started elsewhere."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING

import click

from worker.cli.context import USAGE, CommandError, read_settings
from worker.cli.help import HelpCommand

if TYPE_CHECKING:
    from config.settings import Settings

MAX_TASKS = 10_000
"""Tasks that Flower keeps in memory."""

COLUMNS = "name,uuid,state,kwargs,received"
"""What fits beside a whole task id. Started and runtime are those of the last message, not of the job."""


def flower_argv(settings: Settings, *, port: int | None = None) -> list[str]:
    """Return the command. Everybody on the machine can read it (`ps`): it holds no secret."""
    return [
        sys.executable,
        "-m",
        "celery",
        "--quiet",
        "--app=worker.queue.app",
        "flower",
        f"--address={settings.flower_address}",
        f"--port={port or settings.flower_port}",
        f"--max_tasks={MAX_TASKS}",
        f"--tasks_columns={COLUMNS}",
        "--natural_time=True",
    ]


def flower_environment(settings: Settings, password: str | None) -> dict[str, str]:
    """Return what Flower's environment adds: the login, and a cookie secret that outlives a restart.

    Flower reads its options from `FLOWER_…` as well; its API without a login stays off whatever we inherit.

    Args:
        settings: name the user.
        password: None switches the login off.

    Raises:
        CommandError: Flower could not check that password: it splits its list of logins at commas, compares ASCII only.
    """
    if password is None:
        return {"FLOWER_UNAUTHENTICATED_API": "false"}
    login = f"{settings.flower_user}:{password}"
    if "," in login or not login.isascii():
        raise CommandError("PHOTOGPT_FLOWER_USER and PHOTOGPT_FLOWER_PASSWORD: ASCII without commas, please", USAGE)
    cookie = hashlib.scrypt(password.encode(), salt=b"photogpt-worker flower cookie", n=2**14, r=8, p=1)
    return {
        "FLOWER_BASIC_AUTH": login,
        "FLOWER_COOKIE_SECRET": cookie.hex(),
        "FLOWER_READ_ONLY": os.environ.get("FLOWER_READ_ONLY", "false"),
        "FLOWER_UNAUTHENTICATED_API": "false",
    }


@click.command("flower", cls=HelpCommand)
@click.option("--insecure-no-login", is_flag=True, help="Let everybody in who reaches the port.")
def flower(*, insecure_no_login: bool) -> None:
    """Run Flower, the web page that shows workers and tasks, in the foreground.

    It listens on 127.0.0.1:5555 unless told otherwise, and asks for a name and a password. Its HTTP API
    enqueues (see the README), and revoking a job there cancels it. FLOWER_READ_ONLY=true takes buttons and API away.

    Example:
      PHOTOGPT_FLOWER_PASSWORD=… photogpt-worker flower

    Settings that matter:
      PHOTOGPT_FLOWER_PASSWORD (or …_FILE)   required, unless --insecure-no-login
      PHOTOGPT_FLOWER_USER                   default photogpt
      PHOTOGPT_FLOWER_ADDRESS, …_PORT        default 127.0.0.1 and 5555
      PHOTOGPT_REDIS_URL, …_BROKER_URL       where the messages are

    Flower's own options can be given as FLOWER_… in the environment.
    """
    settings = read_settings()
    password = settings.flower_password.get_secret_value() if settings.flower_password else None
    if password is None and not insecure_no_login:
        raise CommandError(
            "PHOTOGPT_FLOWER_PASSWORD is not set: Flower shows every request, so it does not start without a login; "
            "--insecure-no-login starts it for everybody who reaches the port",
            USAGE,
        )
    added = flower_environment(settings, None if insecure_no_login else password)
    argv = flower_argv(settings)
    os.execve(argv[0], argv, {**os.environ, **added})  # noqa: S606 - our own command; signals reach Flower itself
