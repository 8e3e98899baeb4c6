"""Checks of trigger bodies, as far as PhotoGPT documents them; a violation is answered 400."""

from typing import Any

from worker.sandbox.api.answers import Refusal
from worker.sandbox.api.catalogue import MAX_OUTPUTS, REFERENCE_IMAGES, VEO_CHOICES, VIDEO_FAMILIES
from worker.sandbox.state.records import JsonObject

_TRAINED_MODEL_FIELDS: dict[str, tuple[type, ...]] = {
    "prompt": (str,),
    "preset": (str,),
    "inputImageId": (str,),
    "width": (int,),
    "height": (int,),
    "steps": (int,),
    "seed": (int,),
    "runType": (str,),
    "enhanceFace": (bool,),
    "styleStrength": (int, float),
}


def check_public_image(body: JsonObject) -> None:
    """Check the body for a public image model."""
    text(body, "prompt")
    _typed(body, "aspectRatio", str)
    _typed(body, "preset", str)
    _options(body)
    count(body, "numImages")
    references = _list_of(body, "referenceImageURLs", str)
    limit = REFERENCE_IMAGES[body["modelID"]]
    if len(references) > limit:
        raise _refusal("referenceImageURLs", f"takes at most {limit} for {body['modelID']}")


def check_trained_image(body: JsonObject) -> None:
    """Check the body for a trained model."""
    for name, types in _TRAINED_MODEL_FIELDS.items():
        _typed(body, name, *types)
    count(body, "numImages")


def check_video(body: JsonObject) -> None:
    """Check the body for a video model."""
    text(body, "prompt")
    count(body, "numVideos")
    _list_of(body, "elementIDs", str)
    _list_of(body, "referenceVideos", dict)
    references = _list_of(body, "referenceImages", dict)
    family = VIDEO_FAMILIES[body["modelID"]]
    group = _options(body).get(family, {})
    if not isinstance(group, dict):
        raise _refusal(f"options.{family}", "must be an object")
    if family == "veo":
        _check_veo(group, [reference.get("role") for reference in references])


def text(body: JsonObject, name: str) -> str:
    """Return a required text."""
    value = body.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _refusal(name, "is required and must be a non-empty string")
    return value


def count(body: JsonObject, name: str) -> int:
    """Return the number of outputs, 1 if the body has none."""
    _typed(body, name, int)
    value = body.get(name, 1)
    if not 1 <= value <= MAX_OUTPUTS:
        raise _refusal(name, f"must be between 1 and {MAX_OUTPUTS}")
    return int(value)


def _check_veo(group: JsonObject, roles: list[Any]) -> None:
    for name, choices in VEO_CHOICES.items():
        if name in group and group[name] not in choices:
            raise _refusal(f"options.veo.{name}", f"must be one of {', '.join(map(str, choices))}")
    if "reference_image" in roles and group.get("duration", 8) != 8:
        raise _refusal("options.veo.duration", "must be 8 when a reference_image is given")


def _options(body: JsonObject) -> JsonObject:
    _typed(body, "options", dict)
    options: JsonObject = body.get("options", {})
    return options


def _list_of(body: JsonObject, name: str, item: type) -> list[Any]:
    _typed(body, name, list)
    items: list[Any] = body.get(name, [])
    if not all(isinstance(entry, item) for entry in items):
        raise _refusal(name, f"must be a list whose items are {item.__name__}")
    return items


def _typed(body: JsonObject, name: str, *types: type) -> None:
    """Refuse a field of another type; a boolean is not accepted as a number."""
    if name not in body:
        return
    value = body[name]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise _refusal(name, f"must be {' or '.join(kind.__name__ for kind in types)}")


def _refusal(name: str, violation: str) -> Refusal:
    return Refusal(400, f"Invalid request: {name} {violation}.", f"validation: {name}: {violation}")
