"""Images, videos, downloads and uploads."""

import json
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import Api, wait_until
from worker.sandbox.remote import SandboxControl

ANNA = {"modelID": "demo-anna", "type": "modelInput"}
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32


def upload(
    api: Api, data: object, file: bytes = PNG, name: str = "a.png", media_type: str | None = "application/json"
) -> requests.Response:
    """Uploads as the vendor's samples do."""
    text = data if isinstance(data, str) else json.dumps(data)
    parts: dict[str, Any] = {"file": (name, file), "data": (None, text, media_type)}
    return api.call("POST", "/images/upload", files=parts)


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", None])
def test_an_upload_is_an_image_of_its_model(api: Api, control: SandboxControl, media_type: str | None) -> None:
    """Whatever the label of the data part is, the image can be read, listed and deleted."""
    control.model("demo-anna")
    image = upload(api, ANNA, media_type=media_type).json()["result"]
    assert (image["modelID"], image["type"]) == ("demo-anna", "modelInput")
    assert api.get(f"/images/{image['id']}").json()["result"] == image
    assert api.delete(f"/images/{image['id']}").status_code == 200
    assert api.get(f"/images/{image['id']}").status_code == 404


@pytest.mark.parametrize(
    ("data", "name", "size", "code"),
    [
        ({"modelID": "demo-anna", "type": "input"}, "a.png", 40, 400),
        ({"modelID": "nobody", "type": "modelInput"}, "a.png", 40, 404),
        (ANNA, "a.txt", 40, 400),
        (ANNA, "a.png", 0, 400),
        (ANNA, "a.png", 21 << 20, 400),
        ("{", "a.png", 40, 400),
        ([], "a.png", 40, 400),
    ],
)
def test_a_bad_upload_is_refused(api: Api, data: object, name: str, size: int, code: int) -> None:
    """Type, model, format, size and the data part are checked."""
    api.control.model("demo-anna")
    assert upload(api, data, b"0" * size, name).status_code == code


def test_an_upload_without_parts_is_refused(api: Api) -> None:
    """The generated sample with a JSON body does not work."""
    assert api.post("/images/upload", {"modelID": "x"}).status_code == 400


def test_a_model_has_room_for_twenty_images_of_a_type(api: Api, control: SandboxControl) -> None:
    """Number 21 is refused, one of the other type is not."""
    control.model("demo-anna", images=20)
    assert upload(api, ANNA).status_code == 400
    assert upload(api, {"modelID": "demo-anna", "type": "auxiliaryType"}).status_code == 200


def test_an_output_is_an_image_too(api: Api) -> None:
    """What a job made can be read by its id, and is gone from the job when deleted."""
    job_id = api.image_id(duration_s=0)
    (image,) = api.job(job_id)["images"]
    assert api.get(f"/images/{image['id']}").json()["result"] == image
    api.delete(f"/images/{image['id']}")
    assert api.job(job_id)["images"] == []
    assert api.delete(f"/images/{image['id']}").status_code == 404


def test_a_video_is_listed_read_and_deleted(api: Api) -> None:
    """Its record names the job that made it."""
    job_id = api.video_id(duration_s=0)
    video_id = api.job(job_id)["videos"][0]["id"]
    assert [video["id"] for video in api.get("/videos").json()["result"]] == [video_id]
    assert api.get(f"/videos/{video_id}").json()["result"]["jobId"] == job_id
    assert api.delete(f"/videos/{video_id}").status_code == 200
    assert api.get(f"/videos/{video_id}").status_code == 404
    assert api.delete(f"/videos/{video_id}").status_code == 404


@pytest.mark.parametrize("prefix", ["", "public_"])
def test_a_download_takes_two_steps(api: Api, control: SandboxControl, prefix: str) -> None:
    """It must be asked for, is prepared for a while, and then has a file; either id will do."""
    control.options(durations={"download": "0.1"})
    video_id = prefix + api.job(api.video_id(duration_s=0))["videos"][0]["id"]
    assert api.get(f"/videos/{video_id}/download").status_code == 404
    for _ in range(2):
        assert api.get(f"/videos/{video_id}/create-download").status_code == 200
    states: list[dict[str, Any]] = []

    def ready() -> bool:
        states.append(api.get(f"/videos/{video_id}/download").json()["result"])
        return bool(states[-1]["status"] == "ready")

    wait_until(ready, "the download was never ready")
    assert states[-1]["url"].endswith(".mp4")
    assert all("url" not in state for state in states[:-1])


def test_a_download_of_nothing_is_not_found(api: Api) -> None:
    """Neither step works for an unknown or unfinished video."""
    assert api.get("/videos/nothing/create-download").status_code == 404
    assert api.get("/videos/nothing/download").status_code == 404
