"""Images, videos, downloads and uploads."""

import json
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import Api
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxControl

ANNA = {"modelID": "demo-anna", "type": "modelInput"}
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32


def upload(
    api: Api, data: object, file: bytes = PNG, name: str = "a.png", media_type: str | None = "application/json"
) -> requests.Response:
    """Upload an image as the vendor's samples do."""
    text = data if isinstance(data, str) else json.dumps(data)
    parts: dict[str, Any] = {"file": (name, file), "data": (None, text, media_type)}
    return api.call("POST", "/images/upload", files=parts)


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", None])
def test_an_upload_is_an_image_of_its_model(api: Api, control: SandboxControl, media_type: str | None) -> None:
    """An upload can be read and deleted, whatever the media type of its data part."""
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
        ({"modelID": "unknown", "type": "modelInput"}, "a.png", 40, 404),
        (ANNA, "a.txt", 40, 400),
        (ANNA, "a.png", 0, 400),
        (ANNA, "a.png", 21 << 20, 400),
        ("{", "a.png", 40, 400),
        ([], "a.png", 40, 400),
    ],
)
def test_a_bad_upload_is_refused(api: Api, data: object, name: str, size: int, code: int) -> None:
    """An upload with a wrong type, model, format, size or data part is refused."""
    api.control.model("demo-anna")
    assert upload(api, data, b"0" * size, name).status_code == code


def test_an_upload_without_parts_is_refused(api: Api) -> None:
    """An upload with a JSON body instead of form parts gets 400."""
    assert api.post("/images/upload", {"modelID": "x"}).status_code == 400


def test_a_model_has_room_for_twenty_images_of_a_type(api: Api, control: SandboxControl) -> None:
    """Upload number 21 of one type is refused; an upload of the other type is accepted."""
    control.model("demo-anna", images=20)
    assert upload(api, ANNA).status_code == 400
    assert upload(api, {"modelID": "demo-anna", "type": "auxiliaryType"}).status_code == 200


def test_an_output_is_an_image_too(api: Api) -> None:
    """The image of a job can be read by its id, and a deleted one is gone from the job."""
    job_id = api.image_id(duration_s=0)
    (image,) = api.job(job_id)["images"]
    assert api.get(f"/images/{image['id']}").json()["result"] == image
    api.delete(f"/images/{image['id']}")
    assert api.job(job_id)["images"] == []
    assert api.delete(f"/images/{image['id']}").status_code == 404


def test_a_video_is_listed_read_and_deleted(api: Api) -> None:
    """A video can be listed, read with its job id, and deleted."""
    job_id = api.video_id(duration_s=0)
    video_id = api.job(job_id)["videos"][0]["id"]
    assert [video["id"] for video in api.get("/videos").json()["result"]] == [video_id]
    assert api.get(f"/videos/{video_id}").json()["result"]["jobId"] == job_id
    assert api.delete(f"/videos/{video_id}").status_code == 200
    assert api.get(f"/videos/{video_id}").status_code == 404
    assert api.delete(f"/videos/{video_id}").status_code == 404


@pytest.mark.parametrize("prefix", ["", "public_"])
def test_a_download_takes_two_steps(api: Api, control: SandboxControl, prefix: str) -> None:
    """A video download must be requested first, is prepared for a time, and then has a URL, by either id."""
    control.options(durations={"download": "0.1"})
    video_id = prefix + api.job(api.video_id(duration_s=0))["videos"][0]["id"]
    assert api.get(f"/videos/{video_id}/download").status_code == 404
    for _ in range(2):
        assert api.get(f"/videos/{video_id}/create-download").status_code == 200
    states: list[dict[str, Any]] = []

    def ready() -> bool:
        states.append(api.get(f"/videos/{video_id}/download").json()["result"])
        return bool(states[-1]["status"] == "ready")

    wait_until(ready, "the download is ready")
    assert states[-1]["url"].endswith(".mp4")
    assert all("url" not in state for state in states[:-1])


def test_a_download_of_nothing_is_not_found(api: Api) -> None:
    """Both download steps get 404 for an unknown video."""
    assert api.get("/videos/nothing/create-download").status_code == 404
    assert api.get("/videos/nothing/download").status_code == 404
