"""Chains: the outcome of the task before fills what a request leaves out."""

from __future__ import annotations

from typing import Any

from worker.domain.job import JsonObject, Kind


def fill_request(kind: Kind, before: Any, kwargs: JsonObject) -> JsonObject:
    """Fill `modelID` from a training and `imageID` from the first image, where the request leaves them out.

    Args:
        kind: of the task.
        before: result of the task before: an outcome, a list of outcomes after a group, or anything else.
        kwargs: keyword arguments of the task; not modified.
    """
    request = kwargs.get("request", {} if _outcomes(before) else None)
    if not isinstance(request, dict):
        return kwargs if "request" in kwargs else dict(kwargs)
    filled = dict(request)
    for outcome in _outcomes(before):
        if kind is Kind.UPSCALE and "imageID" not in filled and (image := _first_image(outcome)):
            filled["imageID"] = image
        if kind is not Kind.UPSCALE and "modelID" not in filled and outcome.get("kind") == Kind.TRAINING:
            filled["modelID"] = outcome.get("model_id")
    return {**kwargs, "request": filled}


def _first_image(outcome: JsonObject) -> str | None:
    images = outcome["images"]
    first = images[0] if isinstance(images, list) and images else None
    name = first.get("id") if isinstance(first, dict) else None
    return name if isinstance(name, str) else None


def _outcomes(before: Any) -> list[JsonObject]:
    """Return the outcomes among the results of the task before; the body of a chord gets a list."""
    candidates = before if isinstance(before, list) else [before]
    return [item for item in candidates if isinstance(item, dict) and {"kind", "state", "images"} <= item.keys()]
