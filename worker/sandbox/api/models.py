"""The model endpoints apart from training."""

import uuid
from dataclasses import replace
from typing import Any

from worker.sandbox.api import views
from worker.sandbox.api.answers import Answer, Refusal, ok
from worker.sandbox.api.request import Request
from worker.sandbox.sandbox import Sandbox
from worker.sandbox.state.records import JsonObject, Model, ended_at

_PROFILE: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "age": (int, float),
    "gender": (str,),
    "ethnicity": (str,),
    "eyeColor": (str,),
    "userID": (str,),
}
_MAX_PAGE_SIZE = 100


def list_models(sandbox: Sandbox, request: Request) -> Answer:
    """GET /models: models that are not deleted, newest first."""
    models = [model for model in sandbox.archive.models.values() if model.status != "deleted"]
    return ok([_view(sandbox, model, request.now) for model in reversed(models)])


def put_model(sandbox: Sandbox, request: Request) -> Answer:
    """POST /models: create a model, or change the one with the given id."""
    body = request.json()
    profile = _profile(body)
    if "id" in body:
        old = usable_model(sandbox, str(body["id"]))
        model = replace(old, profile={**old.profile, **profile}, updated_at=request.now)
    else:
        model = Model(
            id=str(uuid.uuid4()),
            status="new",
            created_at=request.now,
            updated_at=request.now,
            profile=profile,
        )
    sandbox.archive.put(model)
    return ok(_view(sandbox, model, request.now))


def get_model(sandbox: Sandbox, request: Request) -> Answer:
    """GET /models/{modelID}; a deleted model stays readable, with status `deleted`."""
    sandbox.counters.polls[request.id] += 1
    model = find_model(sandbox, request.id)
    training = sandbox.archive.training_of(model)
    if training is not None and request.now >= ended_at(training):
        sandbox.counters.record_end_polled(training.id, request.now)
    return ok(views.model(model, training, request.now))


def delete_model(sandbox: Sandbox, request: Request) -> Answer:
    """DELETE /models/{modelID}; refused during a training."""
    model = usable_model(sandbox, request.id)
    if sandbox.archive.is_training(model, request.now):
        raise Refusal(409, "The model is being trained.", f"model {model.id} is in training")
    sandbox.archive.put(replace(model, status="deleted", training_id=None, updated_at=request.now))
    return ok({"id": model.id})


def list_model_images(sandbox: Sandbox, request: Request) -> Answer:
    """GET /models/{modelID}/images: newest first, in numbered pages."""
    model = usable_model(sandbox, request.id)
    image_type = request.query.get("imageType", "all")
    if image_type not in {"all", "input", "output", "auxiliaryType"}:
        raise Refusal(400, "imageType must be all, input, output or auxiliaryType.")
    page = _number(request, "pageNum", 1)
    size = min(_number(request, "pageSize", 20), _MAX_PAGE_SIZE)
    images = _images(sandbox, model, image_type, request)
    images.sort(key=lambda image: str(image["createdAt"]), reverse=True)
    return ok(images[(page - 1) * size : page * size], page=page, pageSize=size)


def find_model(sandbox: Sandbox, model_id: str) -> Model:
    """Return a trained model, deleted or not; refuse an unknown one with 404."""
    model = sandbox.archive.models.get(model_id)
    if model is None:
        raise Refusal(404, "Model not found.", f"no model {model_id}")
    return model


def usable_model(sandbox: Sandbox, model_id: str) -> Model:
    """Return a trained model; refuse an unknown or deleted one with 404."""
    model = find_model(sandbox, model_id)
    if model.status == "deleted":
        raise Refusal(404, "Model not found.", f"model {model_id} was deleted")
    return model


def _images(sandbox: Sandbox, model: Model, image_type: str, request: Request) -> list[JsonObject]:
    archive = sandbox.archive
    images: list[JsonObject] = []
    if image_type in {"all", "input"}:
        images += [views.upload(u, request.media) for u in archive.uploads_of(model.id, "modelInput")]
    if image_type in {"all", "auxiliaryType"}:
        images += [views.upload(u, request.media) for u in archive.uploads_of(model.id, "auxiliaryType")]
    if image_type in {"all", "output"}:
        made = [g for g in archive.ordered if g.kind == "image" and g.model_id == model.id]
        existing = [(g, i) for g in made for i in g.outputs if archive.generation_of(i, request.now)]
        images += [views.made_image(generation, image_id, request.media) for generation, image_id in existing]
    return images


def _view(sandbox: Sandbox, model: Model, now: float) -> JsonObject:
    return views.model(model, sandbox.archive.training_of(model), now)


def _profile(body: JsonObject) -> dict[str, Any]:
    for name, types in _PROFILE.items():
        if name in body and not isinstance(body[name], types):
            raise Refusal(400, f"Invalid request: {name} has the wrong type.", f"validation: {name}")
    if body.get("gender", "Male") not in {"Male", "Female"}:
        raise Refusal(400, "Invalid request: gender must be Male or Female.", "validation: gender")
    return {name: body[name] for name in _PROFILE if name in body}


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise Refusal(400, f"{name} must be a whole number from 1.", f"{name}={text}")
    return int(text)
