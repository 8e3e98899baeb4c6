"""Where settings are read from: the environment, the file `.env`, and files that hold one secret each."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

PREFIX = "PHOTOGPT_"
DOTENV = ".env"
PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy"})

KUBERNETES_VALUE = re.compile(r"(tcp|udp|sctp)://")
KUBERNETES_NAME = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")
"""Kubernetes sets variables for each Service: of `photogpt-flower`, PHOTOGPT_FLOWER_PORT=tcp://10.0.0.1:5555."""


CELERY_PREFIX = "CELERY_"
CELERY_OPTIONS = frozenset({"APP", "BROKER_URL", "CONFIG_MODULE", "LOADER", "RESULT_BACKEND"})
"""Variables with which Celery's own command replaces the app, its broker or its results, whatever the app says."""


class SettingsError(Exception):
    """The environment holds a value that cannot be used. The message lists every wrong variable at once."""


def explain(error: ValidationError) -> str:
    """Return one line for each wrong variable, without its value, which may be secret."""
    lines = []
    for problem in error.errors(include_input=False):
        message, location = problem["msg"].removeprefix("Value error, "), problem["loc"]
        lines.append(f"  {PREFIX}{str(location[0]).upper()}: {message}" if location else f"  {message}")
    return "\n".join(["the settings cannot be used:", *lines])


class Environment(EnvSettingsSource):
    """The environment without what Kubernetes adds to it."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = super()._load_env_vars()
        return {name: value for name, value in found.items() if not KUBERNETES_VALUE.match(value or "")}


class SecretFiles(PydanticBaseSettingsSource):
    """Reads `PHOTOGPT_<FIELD>_FILE` for every field that holds a secret."""

    def __init__(
        self, settings_cls: type[BaseSettings], variables: Mapping[str, str | None], secrets: Collection[str]
    ) -> None:
        """Take the names of files from `variables`, whose own names are in lower case."""
        super().__init__(settings_cls)
        self._variables = variables
        self._secrets = secrets

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return the stripped text of the file that the variable names, if it names one."""
        name = f"{PREFIX}{field_name.upper()}_FILE"
        path = self._variables.get(name.lower())
        if not path or field_name not in self._secrets:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8-sig").strip(), field_name, False
        except (OSError, ValueError) as error:  # UnicodeError is a ValueError, and so is a path with a null byte
            raise SettingsError(f"{name}: cannot read {path}: {error}") from error

    def __call__(self) -> dict[str, Any]:
        """Return the secrets read from files, by field name."""
        values = {name: self.get_field_value(None, name)[0] for name in self.settings_cls.model_fields}
        return {name: value for name, value in values.items() if value is not None}


def with_secret_files(
    settings_cls: type[BaseSettings], dotenv: PydanticBaseSettingsSource, secrets: Collection[str]
) -> tuple[PydanticBaseSettingsSource, ...]:
    """Return the environment and `.env`, each followed by the files of secrets that it names."""
    environment = Environment(settings_cls)
    named_in_dotenv: Mapping[str, str | None] = getattr(dotenv, "env_vars", {})
    return (
        environment,
        SecretFiles(settings_cls, environment.env_vars, secrets),
        dotenv,
        SecretFiles(settings_cls, named_in_dotenv, secrets),
    )


def check_dotenv() -> None:
    """Check that `.env` can be read, if it exists.

    Raises:
        SettingsError: it is no file, is not readable, or is not text in UTF-8.
    """
    path = Path(DOTENV)
    try:
        if path.exists() and not path.is_file() and not path.is_fifo():
            raise SettingsError(f"{path.absolute()} is not a file; remove it, or start in another directory")
        if path.is_file():
            path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path.absolute()} is not UTF-8 ({error.reason}); save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{path.absolute()} cannot be read: {error.strerror}; make it readable") from None


def ignored_variables(fields: Collection[str], secrets: Collection[str]) -> list[str]:
    """Return a sentence for each variable that begins with our prefix and is no setting."""
    known = {f"{PREFIX}{name.upper()}" for name in (*fields, *(f"{secret}_file" for secret in secrets))}
    return [
        text
        for source, variables in (("the environment", os.environ), (DOTENV, _dotenv()))
        for name, value in sorted(variables.items())
        if name.upper().startswith(PREFIX) and (text := _why_ignored(name, value or "", known, source))
    ]


def _dotenv() -> Mapping[str, str | None]:
    return dotenv_values(DOTENV, encoding="utf-8-sig") if Path(DOTENV).is_file() else {}


def _why_ignored(name: str, value: str, known: Collection[str], source: str) -> str | None:
    if KUBERNETES_VALUE.match(value) or (name.upper() not in known and KUBERNETES_NAME.search(name.upper())):
        return (
            f"{name} in {source} is ignored: Kubernetes sets it for a Service whose name begins with photogpt; "
            "rename the Service, or set enableServiceLinks: false"
        )
    if name.upper() in known:
        return None
    near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.7)
    advice = f"; did you mean {near[0]}?" if near else ""
    return f"{name} in {source} is no setting and is ignored{advice}"


def ignored_proxy_variables() -> list[str]:
    """Return the names of the proxy variables that are set; the service ignores them."""
    return sorted(name for name, value in os.environ.items() if value and name.lower() in PROXY_VARIABLES)


def celery_variables() -> list[str]:
    """Return the names of the variables that change what Celery does, whatever the app's options say."""
    return sorted(name for name in os.environ if name.startswith(CELERY_PREFIX) or name in CELERY_OPTIONS)


def remove_celery_variables() -> list[str]:
    """Remove these variables, which belong to another service, from this process; return a sentence for each URL."""
    removed = celery_variables()
    for name in removed:
        del os.environ[name]
    urls = [name for name in removed if "BROKER" in name or "RESULT" in name]
    return [f"{name} in the environment is ignored: only {PREFIX}… variables configure this service" for name in urls]
