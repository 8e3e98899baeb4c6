"""Keeps the caller's settings out of the demo, which has to run beside the `.env` of a production service."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import worker
from config.environment import DOTENV, PREFIX, celery_variables
from config.settings import Settings

PREFIXES = (PREFIX, "FLOWER_")
"""Variables that this service and Flower read."""

PHOTOGPT_FIELDS = ("api_", "base_url", "job_", "model_")
"""How the names of settings begin that are about PhotoGPT's API and how it is polled."""


def settings_of_photogpt(settings: Settings) -> dict[str, str]:
    """Return the variables for those given settings that are about PhotoGPT's API."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set if name.startswith(PHOTOGPT_FIELDS)}
    return {f"{PREFIX}{name.upper()}": _text(value) for name, value in given.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, Path):
        return str(value.absolute())
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


def names_of_settings() -> list[str]:
    """Return the names of all variables that could be settings, and `.env` if there is such a file."""
    found = celery_variables() + sorted(name for name in os.environ if name.upper().startswith(PREFIXES))
    return [*found, DOTENV] if Path(DOTENV).exists() else found


@contextmanager
def own_settings(directory: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Run the block, and every process that it starts, with `variables` as the only settings.

    `.env` is read from the working directory, so the block works in another one.

    Args:
        directory: to work in.
        variables: the settings.
    """
    before, started_in = dict(os.environ), Path.cwd()
    for name in names_of_settings():
        os.environ.pop(name, None)
    package = str(Path(worker.__file__).parent.parent)  # found through the working directory if it is not installed
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.update({**variables, "PYTHONPATH": path})
    os.chdir(directory)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        with suppress(OSError):
            os.chdir(started_in)
