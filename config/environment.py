"""What the settings read from the environment beside the variable of each field."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

PREFIX = "PHOTOGPT_"
PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy"})


class SettingsError(Exception):
    """The environment holds a value that cannot be used. The message lists every wrong variable at once."""


class SecretFiles(PydanticBaseSettingsSource):
    """Reads `PHOTOGPT_<FIELD>_FILE` for every field that holds a secret."""

    def __init__(self, settings_cls: type[BaseSettings], fields: frozenset[str]) -> None:
        """Take the names of the fields that hold secrets."""
        super().__init__(settings_cls)
        self._fields = fields

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return the stripped text of the file that the variable names, if it names one."""
        name = f"{PREFIX}{field_name.upper()}_FILE"
        path = os.environ.get(name)
        if not path or field_name not in self._fields:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeError) as error:
            raise SettingsError(f"{name}: cannot read {path}: {error}") from error

    def __call__(self) -> dict[str, Any]:
        """Return the secrets read from files, by field name."""
        values = {name: self.get_field_value(None, name)[0] for name in self.settings_cls.model_fields}
        return {name: value for name, value in values.items() if value is not None}


def ignored_proxy_variables() -> list[str]:
    """Return the names of the proxy variables that are set; the service ignores them."""
    return sorted(name for name, value in os.environ.items() if value and name.lower() in PROXY_VARIABLES)
