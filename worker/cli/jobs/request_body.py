"""A request put together from the options of `submit`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from worker.domain.job import JsonObject, Kind

USUAL_MODEL = {Kind.IMAGE: "nanobanana", Kind.VIDEO: "veo-3.1-fast"}
COUNT = {Kind.IMAGE: "numImages", Kind.VIDEO: "numVideos"}


class JsonParameter(click.ParamType[JsonObject]):
    """A JSON object, given as text, as `@file`, or as `-` for standard input."""

    name = "json|@file|-"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> JsonObject:
        """Return the object, or say what is wrong with it."""
        if isinstance(value, dict):
            return value
        try:
            read = json.loads(_text(str(value)))
        except OSError as error:
            self.fail(f"cannot read {str(value)[1:]}: {error.strerror}", param, ctx)
        except ValueError as error:
            self.fail(f"is not JSON: {error}", param, ctx)
        if not isinstance(read, dict):
            self.fail("must be a JSON object: {…}", param, ctx)
        return read


def request_body(  # noqa: PLR0913 - the options of the command
    kind: Kind, given: JsonObject | None, *, model: str | None, prompt: str | None, image: str | None, count: int | None
) -> JsonObject:
    """Return the body for PhotoGPT: what was given as JSON, with the options put over it.

    Raises:
        click.UsageError: an option does not fit the kind.
    """
    body = dict(given or {})
    if kind is Kind.UPSCALE:
        _refuse(kind, {"--model": model, "--prompt": prompt, "--count": count})
    elif image is not None:
        _refuse(kind, {"--image": image})
    if kind is Kind.TRAINING:
        _refuse(kind, {"--prompt": prompt, "--count": count})
    named = {"modelID": model, "prompt": prompt, "imageID": image, COUNT.get(kind, ""): count}
    body |= {name: value for name, value in named.items() if value is not None}
    if "modelID" not in body and kind in USUAL_MODEL:
        body["modelID"] = USUAL_MODEL[kind]
    return body


def _refuse(kind: Kind, options: dict[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"{name} means nothing for {kind.value}")


def _text(value: str) -> str:
    if value == "-":
        return sys.stdin.read()
    return Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
