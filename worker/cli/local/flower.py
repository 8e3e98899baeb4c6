"""`photogpt-worker flower`, and the command with which `up` and `demo` start Flower."""

from __future__ import annotations

import hashlib
import os
import sys

import click

from config.settings import Settings
from worker.cli.context import USAGE, CommandError, read_settings
from worker.cli.help import HelpCommand

MAX_TASKS = 10_000
"""Tasks that Flower keeps in memory."""

COLUMNS = "name,uuid,state,kwargs,received"
"""Columns that fit beside a whole task id. Started and runtime would be those of the last message, not of the job."""


def flower_argv(settings: Settings, *, port: int | None = None) -> list[str]:
    """Return the command. It holds no secret, because every user of the machine can read it with `ps`."""
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
        *([f"--url_prefix={settings.flower_url_prefix}"] if settings.flower_url_prefix else []),
    ]


def flower_environment(settings: Settings, password: str | None) -> dict[str, str]:
    """Return environment variables for Flower: the login, and a cookie secret that stays valid after a restart.

    Flower reads its options from `FLOWER_…` as well. Its API without a login is always switched off here.

    Args:
        settings: with the user name.
        password: None switches the login off.

    Raises:
        CommandError: the login has a comma or is not ASCII. Flower splits its list of logins at commas and compares
            ASCII only, so no login could succeed.
    """
    port = os.environ.get("FLOWER_PORT", "")  # Kubernetes sets it to tcp://… for a Service named flower
    own = {"FLOWER_UNAUTHENTICATED_API": "false"}
    if port and not port.isdigit():
        own["FLOWER_PORT"] = str(settings.flower_port)
    if password is None:
        return own
    login = f"{settings.flower_user}:{password}"
    if "," in login or not login.isascii():
        raise CommandError("PHOTOGPT_FLOWER_USER and PHOTOGPT_FLOWER_PASSWORD must be ASCII without commas", USAGE)
    cookie = hashlib.scrypt(password.encode(), salt=b"photogpt-worker flower cookie", n=2**14, r=8, p=1)
    return own | {
        "FLOWER_BASIC_AUTH": login,
        "FLOWER_COOKIE_SECRET": cookie.hex(),
        "FLOWER_READ_ONLY": os.environ.get("FLOWER_READ_ONLY", "false"),
    }


@click.command("flower", cls=HelpCommand)
@click.option("--insecure-no-login", is_flag=True, help="Ask for no login: the port gives full access.")
def flower(*, insecure_no_login: bool) -> None:
    """Run Flower, the web page that shows workers and tasks, in the foreground.

    It listens on 127.0.0.1:5555 by default, and asks for a user name and a password. Its HTTP API can enqueue jobs
    (see ops/docs/enqueue.md), and revoking a job there cancels it. FLOWER_READ_ONLY=true removes the buttons and the
    API.

    Example:
      PHOTOGPT_FLOWER_PASSWORD=… photogpt-worker flower

    Settings:
      PHOTOGPT_FLOWER_PASSWORD (or …_FILE)   required, unless --insecure-no-login
      PHOTOGPT_FLOWER_USER                   default photogpt
      PHOTOGPT_FLOWER_ADDRESS, …_PORT        default 127.0.0.1 and 5555
      PHOTOGPT_FLOWER_URL_PREFIX             path behind a proxy, such as
                                             /ops/flower
      PHOTOGPT_REDIS_URL, …_BROKER_URL       the broker of the workers

    Flower's own options are read from FLOWER_… in the environment.
    """
    settings = read_settings()
    password = settings.flower_password.get_secret_value() if settings.flower_password else None
    if password is None and not insecure_no_login:
        raise CommandError(
            "PHOTOGPT_FLOWER_PASSWORD is not set. Flower shows every request, so it does not start without a login. "
            "Set the password, or add --insecure-no-login to start without one",
            USAGE,
        )
    added = flower_environment(settings, None if insecure_no_login else password)
    argv = flower_argv(settings)
    os.execve(argv[0], argv, {**os.environ, **added})  # noqa: S606 - our own command; exec lets signals reach Flower itself
