"""Write `ops/docs/settings.md` and `config/.env.example` from the settings class: `python -m ops.settings_page`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from config.environment import PREFIX
from config.settings import SECRET_FIELDS, Settings

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "ops" / "docs" / "settings.md"
EXAMPLE = ROOT / "config" / ".env.example"

SECTIONS = {
    "api_key": "PhotoGPT",
    "redis_url": "Redis and the broker",
    "job_poll_interval_s": "Polling and deadlines",
    "max_active": "Limits over all workers",
    "webhook_url": "Webhooks",
    "outputs": "Outputs",
    "concurrency": "The worker process",
    "flower_address": "Flower",
}
"""The heading above each of these fields."""

PAGE_HEAD = """# Settings

Generated from `config/settings.py` by `python -m ops.settings_page`. A test fails if page and class differ.

Settings are environment variables, or lines of a file `.env` in the working directory. The environment wins.
A variable marked "secret" may also be a file: `PHOTOGPT_API_KEY_FILE=/run/secrets/key`. An empty variable counts as not
set. A worker reads its settings once, at start. All wrong variables are reported together, and no secret is quoted.
"""

EXAMPLE_HEAD = """# Every setting with its default. Remove the # in front of a name to change it.
# Generated from config/settings.py by `python -m ops.settings_page`.
# Secrets may be files instead: PHOTOGPT_API_KEY_FILE=/run/secrets/key.
"""


def page() -> str:
    """Return the page as Markdown: a table per section."""
    properties = Settings.model_json_schema()["properties"]
    lines = [PAGE_HEAD.rstrip()]
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            lines += [
                "",
                f"## {SECTIONS[name]}",
                "",
                "| variable | default | values | meaning |",
                "| --- | --- | --- | --- |",
            ]
        default = default_of(field.default)
        shown = f"`{default}`" if default and default.isprintable() else ""  # a separator may be control characters
        lines.append(f"| `{variable(name)}` | {shown} | {values(name, properties[name])} | {meaning(name)} |")
    return "\n".join(lines) + "\n"


def example() -> str:
    """Return the example file: every variable in a comment, with its meaning above."""
    lines = [EXAMPLE_HEAD.rstrip()]
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            lines += ["", f"# -- {SECTIONS[name]}"]
        lines += textwrap.wrap(meaning(name), 118, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"#{variable(name)}={default_of(field.default)}")
    return "\n".join(lines) + "\n"


def variable(name: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + name.upper()


def meaning(name: str) -> str:
    """Return a field's docstring on one line."""
    return " ".join((Settings.model_fields[name].description or "").split())


def default_of(value: Any) -> str:
    """Return a default as it is written in the environment; empty if there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def values(name: str, schema: dict[str, Any]) -> str:
    """Return which values a field accepts, from its JSON Schema."""
    if name in SECRET_FIELDS:
        return "secret"
    schema = next((each for each in schema.get("anyOf", []) if each.get("type") != "null"), schema)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "boolean":
        return "`true`, `false`"
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("exclusiveMinimum") is not None:
        return f"above {schema['exclusiveMinimum']}" + (f", at most {high}" if high is not None else "")
    if low is not None:
        return f"{low} to {high}" if high is not None else f"{low} or more"
    return {"string": "text", "array": "list"}[schema["type"]]


def main() -> None:
    """Write both files."""
    PAGE.write_text(page(), encoding="utf-8")
    EXAMPLE.write_text(example(), encoding="utf-8")


if __name__ == "__main__":
    main()
