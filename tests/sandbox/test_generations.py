"""Triggers and single jobs."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.sandbox.conftest import Api
from worker.sandbox.remote import SandboxControl


def test_an_image_is_queued_then_done(api: Api) -> None:
    """An image trigger returns an id, and the finished job has the requested number of image records."""
    accepted = api.image(numImages=2, sandbox={"duration_s": 0}).json()["result"]
    assert accepted["status"] == "queued"
    job = api.job(accepted["jobId"])
    assert (job["status"], job["modelId"], len(job["images"])) == ("success", "nanobanana", 2)
    assert job["images"][0]["url"] == f"{api.base_url.removesuffix('/api')}/media/{job['images'][0]['id']}.png"


def test_a_video_is_a_playlist(api: Api) -> None:
    """A video of a finished job has only an id and the URL of a playlist."""
    job = api.job(api.video_id(duration_s=0))
    (video,) = job["videos"]
    assert set(video) == {"id", "url"}
    assert video["url"].endswith(".m3u8")


def test_an_upscaling_makes_one_image_of_another(api: Api) -> None:
    """An upscaling makes one image that names its source image."""
    source = api.job(api.image_id(duration_s=0))["images"][0]["id"]
    body = {"imageID": source, "sandbox": {"duration_s": 0}}
    job = api.job(api.post("/images/upscaling", body).json()["result"]["jobId"])
    assert job["images"][0]["data"]["sourceImageID"] == source


def test_a_failed_generation_has_its_reason_and_no_outputs(api: Api) -> None:
    """A failed job has no outputs; its reason is `error` in the job and `errorMessage` in the list."""
    job_id = api.image_id(duration_s=0, end="failed", error="NSFW")
    job = api.job(job_id)
    assert (job["status"], job["error"], "images" in job) == ("failed", "NSFW", False)
    assert api.listed()["jobs"][0]["errorMessage"] == "NSFW"


def test_an_unfinished_generation_has_no_outputs(api: Api) -> None:
    """An unfinished job has neither outputs nor an error."""
    job_id = api.image_id(end="never")
    assert set(api.job(job_id)) == {"jobId", "status", "createdAt", "modelId"}


def test_directive_statuses_are_shown_unchanged(api: Api) -> None:
    """The statuses of a directive are shown unchanged, in any words and letter case."""
    job_id = api.image_id(statuses=["Warming"], end="never")
    assert api.job(job_id, checked=False)["status"] == "Warming"
    odd = api.image_id(duration_s=0, end="SUCCESS")
    assert len(api.job(odd, checked=False)["images"]) == 1


def test_a_success_may_have_no_outputs(api: Api) -> None:
    """A directive can make a successful job have no outputs."""
    assert api.job(api.image_id(duration_s=0, outputs=0))["images"] == []


def test_durations_come_from_the_options(api: Api, control: SandboxControl) -> None:
    """A duration set at run time applies to the next trigger."""
    control.options(durations={"image": "2.5"})
    api.image()
    [made] = control.generations()
    seconds = datetime.fromisoformat(made["endsAt"]) - datetime.fromisoformat(made["createdAt"])
    assert seconds == timedelta(seconds=2.5)


IMAGE = {"modelID": "nanobanana", "prompt": "a harbour"}
VEO = {"modelID": "veo-3.1", "prompt": "a kite"}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/images/generation", {"prompt": "x"}, "modelID"),
        ("/images/generation", {"modelID": 3, "prompt": "x"}, "modelID"),
        ("/images/generation", {"modelID": "nanobanana"}, "prompt"),
        ("/images/generation", {**IMAGE, "prompt": " "}, "prompt"),
        ("/images/generation", {**IMAGE, "numImages": 0}, "numImages"),
        ("/images/generation", {**IMAGE, "numImages": 99}, "numImages"),
        ("/images/generation", {**IMAGE, "numImages": True}, "numImages"),
        ("/images/generation", {**IMAGE, "numImages": "2"}, "numImages"),
        ("/images/generation", {**IMAGE, "options": []}, "options"),
        ("/images/generation", {**IMAGE, "referenceImageURLs": ["https://a.invalid"] * 4}, "referenceImageURLs"),
        ("/images/generation", {**IMAGE, "referenceImageURLs": [1]}, "referenceImageURLs"),
        ("/images/generation", {**IMAGE, "sandbox": {"speed": 1}}, "sandbox"),
        ("/images/generation", {"modelID": "demo-anna", "width": "wide"}, "width"),
        ("/images/upscaling", {}, "imageID"),
        ("/images/upscaling", {"imageID": ""}, "imageID"),
        ("/videos/generation", {"modelID": "veo-3.1"}, "prompt"),
        ("/videos/generation", {**VEO, "numVideos": -1}, "numVideos"),
        ("/videos/generation", {**VEO, "elementIDs": "e"}, "elementIDs"),
        ("/videos/generation", {**VEO, "options": {"veo": {"duration": 5}}}, "options.veo.duration"),
        ("/videos/generation", {**VEO, "options": {"veo": "fast"}}, "options.veo"),
        (
            "/videos/generation",
            {
                **VEO,
                "options": {"veo": {"duration": 4}},
                "referenceImages": [{"url": "https://a.invalid", "role": "reference_image"}],
            },
            "options.veo.duration",
        ),
    ],
)
def test_an_invalid_body_is_refused_by_field(
    api: Api, control: SandboxControl, path: str, body: dict[str, Any], named: str
) -> None:
    """An invalid trigger body gets 400 with the field in the message, and nothing is created."""
    control.model("demo-anna", status="ready")
    refused = api.post(path, body)
    assert refused.status_code == 400
    assert named in refused.json()["message"]
    assert control.state()["created"] == {}


def test_a_body_that_is_no_json_object_is_refused(api: Api) -> None:
    """A trigger body that is not a JSON object is refused."""
    assert api.call("POST", "/images/generation", data=b"{").status_code == 400
    assert api.post("/images/generation", []).status_code == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/images/generation", {"modelID": "unknown", "prompt": "x"}),
        ("/images/generation", {"modelID": "veo-3.1", "prompt": "x"}),
        ("/videos/generation", {"modelID": "nanobanana", "prompt": "x"}),
    ],
)
def test_an_unknown_model_is_not_found(api: Api, path: str, body: dict[str, Any]) -> None:
    """A trigger with an unknown model, or with one of another kind, gets 404."""
    assert api.post(path, body).status_code == 404


def test_a_trained_model_must_be_ready(api: Api, control: SandboxControl) -> None:
    """An image trigger with a trained model gets 409 until the model is ready."""
    body = {"modelID": "demo-anna", "prompt": "by a window", "styleStrength": 0.5}
    control.model("demo-anna")
    assert api.post("/images/generation", body).status_code == 409
    control.model("demo-anna", status="ready")
    assert api.post("/images/generation", body).status_code == 200


def test_a_missing_source_image_is_not_found(api: Api, control: SandboxControl) -> None:
    """A deleted source image gets 404; an unknown id is accepted unless `strict_images` is set."""
    assert api.post("/images/upscaling", {"imageID": "image_001"}).status_code == 200
    done = api.job(api.image_id(duration_s=0))["images"][0]["id"]
    api.delete(f"/images/{done}")
    assert api.post("/images/upscaling", {"imageID": done}).status_code == 404
    control.options(strict_images=True)
    assert api.post("/images/upscaling", {"imageID": "image_001"}).status_code == 404
    control.model("demo-anna", status="ready")
    body = {"modelID": "demo-anna", "inputImageId": "image_001"}
    assert api.post("/images/generation", body).status_code == 404


def test_too_many_active_generations_are_refused(api: Api, control: SandboxControl) -> None:
    """A trigger above `max_active` gets 429 with the configured Retry-After."""
    control.options(max_active=1, retry_after=3)
    assert api.image_id(duration_s=0)
    assert api.image_id(end="never")
    refused = api.image()
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")


def test_an_unknown_job_is_not_found(api: Api) -> None:
    """An unknown job gets 404 with the documented error fields."""
    refused = api.get("/jobs/job_unknown")
    assert refused.status_code == 404
    assert set(refused.json()) == {"status", "message", "err", "result"}
