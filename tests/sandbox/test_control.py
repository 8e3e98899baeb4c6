"""The control API."""

from typing import Any

import pytest
import requests

from tests.sandbox.conftest import Api
from worker.sandbox.remote import SandboxControl


def test_state_counts_requests_and_polls(api: Api, control: SandboxControl) -> None:
    """The state counts generations, operations and polls, and shows each request unchanged."""
    body = {"modelID": "nanobanana", "prompt": "a harbour", "metadata": {"order": 7}, "sandbox": {"duration_s": 0}}
    sent = api.call("POST", "/images/generation", json=body, headers={"Idempotency-Key": "k-1"})
    job_id = sent.json()["result"]["jobId"]
    for _ in range(3):
        api.job(job_id)
    api.listed()
    state = control.state()
    assert state["created"] == {"image": 1}
    assert state["polls"] == {job_id: 3}
    assert (state["list_requests"], state["requests"]["getJobStatus"]) == (1, 3)
    assert state["answers"]["getJobStatus"] == {"200": 3}
    assert state["max_active"] == 0
    (generation,) = state["generations"]
    assert (generation["request"], generation["metadata"]) == (body, {"order": 7})
    assert (generation["idempotencyKey"], generation["prompt"]) == ("k-1", "a harbour")
    assert generation["noticedAfterS"] >= 0
    assert "generations" not in control.state(lists=False)


def test_the_same_body_has_the_same_digest(api: Api, control: SandboxControl) -> None:
    """Two triggers with the same body have the same digest."""
    for prompt in ("one", "one", "two"):
        api.image(prompt=prompt)
    digests = [generation["digest"] for generation in control.generations()]
    assert digests[0] == digests[1] != digests[2]


def test_generations_can_be_filtered(api: Api, control: SandboxControl) -> None:
    """Generations can be filtered by kind, status, model and text."""
    api.image(prompt="ein Häuschen", sandbox={"duration_s": 0})
    api.video_id(end="never")
    assert [g["kind"] for g in control.generations(kind="video")] == ["video"]
    assert [g["kind"] for g in control.generations(status="success")] == ["image"]
    assert [g["kind"] for g in control.generations(model="veo-3.1")] == ["video"]
    assert [g["kind"] for g in control.generations(contains="Häuschen")] == ["image"]


def test_active_generations_are_counted(api: Api, control: SandboxControl) -> None:
    """The state shows the number of active generations and its maximum."""
    for _ in range(3):
        api.image_id(end="never")
    api.image_id(duration_s=0)
    state = control.state()
    assert (state["active"], state["max_active"]) == (3, 3)


def test_connections_are_counted(api: Api, control: SandboxControl) -> None:
    """Requests on a kept-alive connection count as one connection."""
    for _ in range(5):
        api.get("/ping")
    assert control.state()["connections"] == 1


def test_a_reset_restores_the_start(api: Api, control: SandboxControl) -> None:
    """A reset deletes records and restores options, keys and faults of the start."""
    job_id = api.image_id()
    control.model("demo-anna")
    control.options(max_active=0)
    control.keys(revoke=["sandbox-key"])
    control.faults({"match": "*", "action": {"status": 500}})
    control.reset()
    state = control.state()
    assert (state["generations"], state["models"], state["requests"]) == ([], {}, {})
    assert api.get(f"/jobs/{job_id}").status_code == 404
    assert api.image().status_code == 200


def test_a_model_can_be_set_during_a_training(api: Api, control: SandboxControl) -> None:
    """Setting a model's status ends its training; setting its directive does not."""
    control.model("demo-anna", end="never")
    api.get("/models/demo-anna/train")
    assert control.model("demo-anna", duration_s=3)["status"] == "training"
    assert control.model("demo-anna", status="ready")["status"] == "ready"


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("options", {"port": 3}),
        ("options", {"durations": {"image": "fast"}}),
        ("options", {"durations": {"music": "3"}}),
        ("model", {"model_id": "demo-anna", "speed": 3}),
        ("model", {"model_id": "demo-anna", "duration_s": -3}),
        ("keys", {"add": [{}]}),
    ],
)
def test_an_invalid_control_request_is_refused(
    control: SandboxControl, operation: str, arguments: dict[str, Any]
) -> None:
    """A control request with an unknown or invalid field is refused."""
    with pytest.raises(ValueError, match="the sandbox refused POST"):
        getattr(control, operation)(**arguments)


def test_an_unknown_control_path_is_refused(control: SandboxControl) -> None:
    """An unknown path of the control API is refused."""
    with pytest.raises(ValueError, match="No such control"):
        control._call("GET", "nothing")


def test_many_generations_are_made_at_once(api: Api, control: SandboxControl) -> None:
    """Generations made by the control API are listed, polled and counted like triggered ones."""
    made = control.make(3, duration="0") + control.make(2, duration="3600", kind="video")
    assert [job["jobId"] for job in api.listed()["jobs"]] == made[::-1]
    assert [api.job(job_id)["status"].lower() == "success" for job_id in made] == [True] * 3 + [False] * 2
    state = control.state(lists=False)
    assert (state["created"], state["active"]) == ({"image": 3, "video": 2}, 2)


@pytest.mark.parametrize(
    "body", [{"count": 1, "kind": "training"}, {"count": 1, "duration": "soon"}, {"colour": 1}, {}]
)
def test_generations_that_cannot_be_made_are_refused(api: Api, control: SandboxControl, body: dict[str, Any]) -> None:
    """An invalid request for generations gets 400 and makes none."""
    answer = requests.post(api.base_url.replace("/api", "/_sandbox/generations"), json=body, timeout=5)
    assert answer.status_code == 400
    assert control.generations() == []


def test_ends_show_when_they_were_noticed(api: Api, control: SandboxControl) -> None:
    """The ends show ended jobs only, with the delay until their first poll and their first page."""
    seen, listed, unseen = control.make(3, duration="0")
    control.make(1, duration="3600")
    api.job(seen)
    control.options(page_size=3)
    api.listed()
    ends = {end["jobId"]: end for end in control.ends()}
    assert list(ends) == [seen, listed, unseen]
    assert [ends[job_id]["noticedAfterS"] is None for job_id in ends] == [False, True, True]
    assert [ends[job_id]["listedAfterS"] is None for job_id in ends] == [True, False, False]
    assert ends[seen]["noticedAfterS"] >= 0
