"""The four operations that start a generation and cost credits."""

import hashlib
import json
import time
from dataclasses import replace

from worker.sandbox.api.answers import Answer, Refusal, ok
from worker.sandbox.api.bodies import check_public_image, check_trained_image, check_video, count, text
from worker.sandbox.api.catalogue import CREDITS, REFERENCE_IMAGES, TRAINING_IMAGES, VIDEO_FAMILIES
from worker.sandbox.api.models import usable_model
from worker.sandbox.api.request import Request
from worker.sandbox.faults.directives import NO_DIRECTIVE, Directive, parse_directive
from worker.sandbox.faults.durations import Distribution
from worker.sandbox.sandbox import Sandbox
from worker.sandbox.state.records import Generation, JsonObject, Kind, new_id

JOB_KINDS: tuple[Kind, ...] = ("image", "upscale", "video")


def trigger_image(sandbox: Sandbox, request: Request) -> Answer:
    """POST /images/generation, with a public or a trained model."""
    body = request.json()
    model_id = text(body, "modelID")
    if model_id in REFERENCE_IMAGES:
        check_public_image(body)
    else:
        check_trained_image(body)
        _require_ready(sandbox, model_id, request.now)
        if "inputImageId" in body:
            _require_image(sandbox, body["inputImageId"], request.now)
    return _accept(sandbox, request, "image", body)


def trigger_upscaling(sandbox: Sandbox, request: Request) -> Answer:
    """POST /images/upscaling."""
    body = request.json()
    _require_image(sandbox, text(body, "imageID"), request.now)
    return _accept(sandbox, request, "upscale", body)


def trigger_video(sandbox: Sandbox, request: Request) -> Answer:
    """POST /videos/generation."""
    body = request.json()
    if text(body, "modelID") not in VIDEO_FAMILIES:
        raise Refusal(404, "Model not found.", f"no video model {body['modelID']}")
    check_video(body)
    return _accept(sandbox, request, "video", body)


def trigger_training(sandbox: Sandbox, request: Request) -> Answer:
    """GET /models/{modelID}/train."""
    model = usable_model(sandbox, request.id)
    if sandbox.archive.is_training(model, request.now):
        raise Refusal(409, "The model is being trained already.", f"model {model.id} is in training")
    _require_training_images(sandbox, model.id)
    _require_room(sandbox, ("training",), sandbox.options.max_trainings, request.now)
    directive = _directive(model.directive, request)
    generation = _generation(sandbox, request, "training", {"modelID": model.id}, directive)
    sandbox.archive.put(generation)
    sandbox.archive.put(replace(model, training_id=generation.id, updated_at=request.now))
    sandbox.counters.trainings[model.id] += 1
    return ok("Training triggered")


def make_generations(sandbox: Sandbox, kind: str, body: JsonObject, duration: Distribution, number: int) -> list[str]:
    """Create many generations as if each had been triggered with this body; the body is not checked.

    Raises:
        ValueError: the kind is unknown.
    """
    job_kind = next((known for known in JOB_KINDS if known == kind), None)
    if job_kind is None:
        raise ValueError(f"kind must be one of {', '.join(JOB_KINDS)}, not {kind!r}")
    now, content = time.time(), json.dumps(body).encode()
    request = Request(operation="control", id="", query={}, headers={}, body=content, now=now)
    made = []
    for _ in range(number):
        generation = _generation(sandbox, request, job_kind, body, Directive(duration_s=duration.draw(sandbox.rng)))
        sandbox.archive.put(generation)
        made.append(generation.id)
    counters = sandbox.counters
    counters.created[job_kind] += number
    counters.max_active = max(counters.max_active, sandbox.archive.active(JOB_KINDS, now))
    return made


def _accept(sandbox: Sandbox, request: Request, kind: Kind, body: JsonObject) -> Answer:
    directive = _directive(body.get("sandbox"), request)
    _require_room(sandbox, JOB_KINDS, sandbox.options.max_active, request.now)
    generation = _generation(sandbox, request, kind, body, directive)
    sandbox.archive.put(generation)
    counters = sandbox.counters
    counters.created[kind] += 1
    counters.max_active = max(counters.max_active, sandbox.archive.active(JOB_KINDS, request.now))
    return ok({"jobId": generation.id, "status": "queued"})


def _generation(sandbox: Sandbox, request: Request, kind: Kind, body: JsonObject, directive: Directive) -> Generation:
    duration_s = sandbox.draw_duration(kind) if directive.duration_s is None else directive.duration_s
    requested = count(body, "numVideos" if kind == "video" else "numImages") if kind in {"image", "video"} else 1
    outputs = requested if directive.outputs is None else directive.outputs
    prefix = "video" if kind == "video" else "image"
    return Generation(
        id=new_id("job"),
        kind=kind,
        created_at=request.now,
        stages=directive.stages(kind, duration_s),
        endless=directive.endless,
        outputs=() if kind == "training" else tuple(new_id(prefix) for _ in range(outputs)),
        model_id=body.get("modelID"),
        source_image_id=body.get("imageID") if kind == "upscale" else None,
        error=directive.error,
        credits=CREDITS[kind] * requested if directive.credits is None else directive.credits,
        file_bytes=directive.file_bytes or 0,
        request=body,
        digest=hashlib.sha256(request.body).hexdigest(),
        idempotency_key=request.headers.get("Idempotency-Key"),
    )


def _directive(value: object, request: Request) -> Directive:
    try:
        return parse_directive(value).with_defaults(request.action.directive or NO_DIRECTIVE)
    except ValueError as error:
        raise Refusal(400, f"Invalid request: sandbox.{error}") from None


def _require_ready(sandbox: Sandbox, model_id: str, now: float) -> None:
    status = sandbox.archive.status_of(usable_model(sandbox, model_id), now)
    if status.lower() != "ready":
        raise Refusal(409, "The model is not ready.", f"model {model_id} has status {status}")


def _require_image(sandbox: Sandbox, image_id: str, now: float) -> None:
    """Refuse an image that is known not to exist now, and with strict_images any unknown one."""
    archive = sandbox.archive
    if image_id in archive.uploads or archive.generation_of(image_id, now) is not None:
        return
    if sandbox.options.strict_images or image_id in archive.generation_by_output or image_id in archive.deleted:
        raise Refusal(404, "Image not found.", f"no image {image_id}")


def _require_training_images(sandbox: Sandbox, model_id: str) -> None:
    if not sandbox.options.strict_training_images:
        return
    images = len(sandbox.archive.uploads_of(model_id, "modelInput"))
    if images not in TRAINING_IMAGES:
        raise Refusal(400, "Training needs 12 to 20 images.", f"model {model_id} has {images} modelInput images")


def _require_room(sandbox: Sandbox, kinds: tuple[Kind, ...], limit: int | None, now: float) -> None:
    if limit is not None and sandbox.archive.active(kinds, now) >= limit:
        raise Refusal(
            429,
            "Too many active jobs.",
            f"{limit} of {', '.join(kinds)} are running",
            retry_after=sandbox.options.retry_after,
        )
