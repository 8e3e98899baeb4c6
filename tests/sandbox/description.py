"""Checks answers against PhotoGPT's OpenAPI description."""

import re
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

_URI = "urn:photogpt"


class Description:
    """The OpenAPI document beside this file."""

    def __init__(self) -> None:
        text = (Path(__file__).parent / "openapi.yaml").read_text(encoding="utf-8")
        self.document: dict[str, Any] = yaml.safe_load(text)
        resource = DRAFT202012.create_resource(self.document)
        self._registry: Registry[Any] = Registry().with_resource(_URI, resource)
        self._paths: dict[str, re.Pattern[str]] = {
            path: re.compile("^" + re.sub(r"\{[^}]+\}", "[^/]+", path) + "$") for path in self.document["paths"]
        }

    def operation_ids(self) -> set[str]:
        """Return the ids of all operations."""
        return {
            operation["operationId"]
            for methods in self.document["paths"].values()
            for method, operation in methods.items()
            if method != "parameters"
        }

    def violations(self, method: str, path: str, code: int, body: object) -> list[str]:
        """Return what is wrong with an answer, or an empty list; an undocumented code is a violation."""
        template = self._template(path)
        responses = self.document["paths"][template][method.lower()]["responses"]
        key = str(code) if str(code) in responses else "default"
        pointer = f"/paths/{_escape(template)}/{method.lower()}/responses/{key}"
        response = responses[key]
        if "$ref" in response:
            pointer = response["$ref"].removeprefix("#")
        schema = {"$ref": f"{_URI}#{pointer}/content/application~1json/schema"}
        validator = Draft202012Validator(schema, registry=self._registry)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]

    def _template(self, path: str) -> str:
        """Return the documented path; one without a variable is preferred."""
        fitting: list[str] = [template for template, pattern in self._paths.items() if pattern.match(path)]
        return min(fitting, key=lambda template: template.count("{"))


def _escape(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
