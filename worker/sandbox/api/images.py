"""The image endpoints except generation and upscaling."""

import hashlib
import json
from pathlib import PurePosixPath

from tornado.httputil import HTTPFile, HTTPHeaders, parse_body_arguments

from worker.sandbox.api import views
from worker.sandbox.api.answers import Answer, Refusal, ok
from worker.sandbox.api.catalogue import IMAGES_PER_TYPE, UPLOAD_BYTES, UPLOAD_FORMATS, UPLOAD_TYPES
from worker.sandbox.api.models import usable_model
from worker.sandbox.api.request import Request
from worker.sandbox.sandbox import Sandbox
from worker.sandbox.state.records import JsonObject, Upload, new_id


def upload_image(sandbox: Sandbox, request: Request) -> Answer:
    """POST /images/upload: a multipart form with the parts `file` and `data`."""
    if len(request.body) > UPLOAD_BYTES:
        raise Refusal(400, "The upload is larger than 20 MB.", f"{len(request.body)} bytes")
    file, data = _parts(request)
    if data.get("type") not in UPLOAD_TYPES:
        raise Refusal(400, "type must be modelInput or auxiliaryType.", f"validation: type={data.get('type')}")
    _require_format(file)
    model = usable_model(sandbox, str(data.get("modelID", "")))
    if len(sandbox.archive.uploads_of(model.id, data["type"])) >= IMAGES_PER_TYPE:
        raise Refusal(400, f"The model has {IMAGES_PER_TYPE} images of this type already.")
    upload = Upload(
        id=new_id("image"),
        model_id=model.id,
        type=data["type"],
        created_at=request.now,
        size=len(file.body),
        digest=hashlib.sha256(file.body).hexdigest(),
    )
    sandbox.archive.put(upload)
    return ok(views.upload(upload, request.media))


def get_image(sandbox: Sandbox, request: Request) -> Answer:
    """GET /images/{imageID}: an upload, or an output that exists now."""
    return ok(_image(sandbox, request))


def delete_image(sandbox: Sandbox, request: Request) -> Answer:
    """DELETE /images/{imageID}."""
    _image(sandbox, request)
    sandbox.archive.delete(request.id)
    return ok({"id": request.id})


def _image(sandbox: Sandbox, request: Request) -> JsonObject:
    archive = sandbox.archive
    if request.id in archive.uploads:
        return views.upload(archive.uploads[request.id], request.media)
    generation = archive.generation_of(request.id, request.now)
    if generation is None or generation.kind == "video":
        raise Refusal(404, "Image not found.", f"no image {request.id}")
    return views.made_image(generation, request.id, request.media)


def _parts(request: Request) -> tuple[HTTPFile, JsonObject]:
    """Return the two parts of the form; `data` may be a field or a file."""
    arguments: dict[str, list[bytes]] = {}
    files: dict[str, list[HTTPFile]] = {}
    content_type = request.headers.get("Content-Type", "")
    try:
        parse_body_arguments(content_type, request.body, arguments, files, HTTPHeaders())
        fields = [*arguments.get("data", []), *(file.body for file in files.get("data", []))]
        data = json.loads(fields[0])
        file = files["file"][0]
    except (LookupError, ValueError, OSError) as error:
        raise Refusal(400, "The upload needs the parts file and data (JSON text).", repr(error)) from None
    if not isinstance(data, dict):
        raise Refusal(400, "The part data is not a JSON object.")
    return file, data


def _require_format(file: HTTPFile) -> None:
    suffix = PurePosixPath(file.filename).suffix.lstrip(".").lower()
    if suffix not in UPLOAD_FORMATS and file.content_type.removeprefix("image/") not in UPLOAD_FORMATS:
        raise Refusal(400, f"The file must be one of {', '.join(UPLOAD_FORMATS)}.", f"file: {file.filename}")
    if not file.body:
        raise Refusal(400, "The file is empty.")
