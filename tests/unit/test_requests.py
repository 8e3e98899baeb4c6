"""Request bodies: documented fields are checked strictly, and unknown fields pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from tests.unit.factories import REQUESTS as MINIMAL_REQUESTS
from worker.domain.job import Kind
from worker.domain.requests import REFERENCE_IMAGES, REQUESTS
from worker.domain.submission import SubmissionLimits, parse_submission

DESCRIPTION = Path(__file__).parents[1] / "sandbox" / "openapi.yaml"
PATHS = {
    Kind.IMAGE: "/images/generation",
    Kind.UPSCALE: "/images/upscaling",
    Kind.VIDEO: "/videos/generation",
}


def documented_examples() -> list[tuple[Kind, dict[str, Any]]]:
    """Return every example body of the vendor's description."""
    paths = yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))["paths"]
    found: list[tuple[Kind, dict[str, Any]]] = []
    for kind, path in PATHS.items():
        content = paths[path]["post"]["requestBody"]["content"]["application/json"]
        examples = [content["example"]] if "example" in content else []
        examples += [each["value"] for each in content.get("examples", {}).values()]
        found += [(kind, example) for example in examples]
    return found


def test_the_description_has_examples_of_every_kind() -> None:
    """The vendor's description has an example body for every kind with a documented path."""
    assert {kind for kind, _ in documented_examples()} == set(PATHS)


@pytest.mark.parametrize(("kind", "body"), documented_examples())
def test_the_vendors_own_examples_pass_unchanged(kind: Kind, body: dict[str, Any]) -> None:
    """Every example body of the vendor's description is accepted and left unchanged."""
    assert parse_submission(kind, [], {"request": body}, SubmissionLimits(metadata_max_bytes=0)).request == body


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Kind.VIDEO, ("aspectRatio",), "4:3"),
        (Kind.VIDEO, ("duration",), 5),
        (Kind.VIDEO, ("duration",), "8"),
        (Kind.VIDEO, ("resolution",), "4k"),
        (Kind.VIDEO, ("enhancePrompt",), 1),
        (Kind.VIDEO, ("generateAudio",), "yes"),
        (Kind.VIDEO, ("seed",), 1.5),
    ],
)
def test_veo_options_are_strict(kind: Kind, field: tuple[str, ...], value: Any) -> None:
    """A Veo option with a value or type that is not documented is refused by name."""
    body = MINIMAL_REQUESTS[kind] | {"options": {"veo": {field[0]: value}}}
    with pytest.raises(ValidationError, match=field[0]):
        TypeAdapter(REQUESTS[kind]).validate_python(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", 5),
        ("width", 0),
        ("height", "512"),
        ("steps", 1.5),
        ("seed", "1"),
        ("enhanceFace", "true"),
        ("styleStrength", "strong"),
        ("numImages", 0),
    ],
)
def test_trained_models_take_documented_types_only(field: str, value: Any) -> None:
    """A request for a trained model is refused when a field has another type than documented."""
    with pytest.raises(ValidationError, match=field):
        TypeAdapter(REQUESTS[Kind.IMAGE]).validate_python({"modelID": "mine", field: value})


def test_a_trained_model_needs_no_prompt() -> None:
    """A request for a trained model is accepted without a prompt."""
    TypeAdapter(REQUESTS[Kind.IMAGE]).validate_python({"modelID": "mine"})


@pytest.mark.parametrize("model", sorted(REFERENCE_IMAGES))
def test_public_models_need_a_prompt(model: str) -> None:
    """A request for a public model is refused without a prompt."""
    with pytest.raises(ValidationError, match="prompt"):
        TypeAdapter(REQUESTS[Kind.IMAGE]).validate_python({"modelID": model})


@pytest.mark.parametrize(("model", "maximum"), sorted(REFERENCE_IMAGES.items()))
def test_as_many_references_as_a_model_takes(model: str, maximum: int) -> None:
    """A request with exactly the maximum number of reference images of its model is accepted."""
    body = {"modelID": model, "prompt": "x", "referenceImageURLs": ["https://cdn.example/1.png"] * maximum}
    assert parse_submission(Kind.IMAGE, [], {"request": body}, SubmissionLimits(metadata_max_bytes=0)).request == body


@pytest.mark.parametrize("kind", Kind)
def test_fields_that_no_page_names_pass_untouched(kind: Kind) -> None:
    """Undocumented fields of a request pass unchanged, because PhotoGPT may add fields at any time."""
    body = MINIMAL_REQUESTS[kind] | {"newField": {"deep": [1, None, {"x": True}]}, "public": 1, "int": "x"}
    assert parse_submission(kind, [], {"request": body}, SubmissionLimits(metadata_max_bytes=0)).request == body
