"""Models and training."""

import pytest

from tests.sandbox.conftest import Api
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxControl


def test_a_model_is_made_changed_and_listed(api: Api) -> None:
    """A new model has status `new`, keeps its id when changed, and is listed once."""
    made = api.post("/models", {"name": "Anna", "age": 30, "gender": "Female"}).json()["result"]
    assert made["status"] == "new"
    changed = api.post("/models", {"id": made["id"], "eyeColor": "green"}).json()["result"]
    assert changed["id"] == made["id"]
    assert [model["id"] for model in api.get("/models").json()["result"]] == [made["id"]]


@pytest.mark.parametrize(("body", "code"), [({"gender": "x"}, 400), ({"age": "x"}, 400), ({"id": "unknown"}, 404)])
def test_a_bad_model_is_refused(api: Api, body: dict[str, str], code: int) -> None:
    """A model with an invalid field gets 400, and a change of an unknown model 404."""
    assert api.post("/models", body).status_code == code


def test_a_training_passes_through_its_states(api: Api, control: SandboxControl) -> None:
    """A training trigger answers with a text, and the model passes through its statuses to `ready`."""
    control.model("demo-anna", duration_s=0.2)
    assert api.get("/models/demo-anna").json()["result"]["status"] == "new"
    assert api.get("/models/demo-anna/train").json()["result"] == "Training triggered"
    seen: list[str] = []

    def ready() -> bool:
        seen.append(api.get("/models/demo-anna").json()["result"]["status"])
        return seen[-1] == "ready"

    wait_until(ready, "the model is ready")
    assert list(dict.fromkeys(seen)) == [status for status in ("training", "processing", "ready") if status in seen]
    assert control.state()["trainings"] == {"demo-anna": 1}


@pytest.mark.parametrize("end", ["failed", "new"])
def test_a_training_may_fail_in_two_ways(api: Api, control: SandboxControl, end: str) -> None:
    """A failed training sets the model to `failed` or `new`, and the job shows the error."""
    control.model("demo-anna", duration_s=0, end=end, error="faces differ")
    api.get("/models/demo-anna/train")
    assert api.get("/models/demo-anna").json()["result"]["status"] == end
    assert api.job(api.listed()["jobs"][0]["jobId"])["error"] == "faces differ"


def test_a_fault_may_say_how_a_training_ends(api: Api, control: SandboxControl) -> None:
    """The directive of a fault rule applies to the training that the request starts."""
    control.model("demo-anna")
    control.faults({"match": "triggerModelTraining", "action": {"directive": {"duration_s": 0, "end": "failed"}}})
    api.get("/models/demo-anna/train")
    assert api.get("/models/demo-anna").json()["result"]["status"] == "failed"


def test_training_is_refused_for_its_reasons(api: Api, control: SandboxControl) -> None:
    """A training gets 404 for an unknown model, 409 for a running training, and 429 above the limit."""
    assert api.get("/models/unknown/train").status_code == 404
    control.model("demo-anna", end="never")
    control.model("demo-ben")
    control.options(max_trainings=1)
    assert api.get("/models/demo-anna/train").status_code == 200
    assert api.get("/models/demo-anna/train").status_code == 409
    assert api.get("/models/demo-ben/train").status_code == 429


@pytest.mark.parametrize(("images", "code"), [(11, 400), (12, 200), (20, 200), (21, 400)])
def test_a_strict_sandbox_counts_the_images(api: Api, control: SandboxControl, images: int, code: int) -> None:
    """A strict sandbox accepts a training only with 12 to 20 modelInput images."""
    control.options(strict_training_images=True)
    control.model("demo-anna", images=images)
    assert api.get("/models/demo-anna/train").status_code == code


def test_a_deleted_model_is_readable_and_useless(api: Api, control: SandboxControl) -> None:
    """A deleted model stays readable but cannot be used; a model in training cannot be deleted."""
    control.model("demo-anna", end="never")
    api.get("/models/demo-anna/train")
    assert api.delete("/models/demo-anna").status_code == 409
    control.model("demo-anna", status="ready")
    assert api.delete("/models/demo-anna").status_code == 200
    assert api.get("/models/demo-anna").json()["result"]["status"] == "deleted"
    assert api.get("/models").json()["result"] == []
    for refused in (api.delete("/models/demo-anna"), api.get("/models/demo-anna/train"), api.get("/models/x")):
        assert refused.status_code == 404


def test_images_of_a_model_are_paged_and_filtered(api: Api, control: SandboxControl) -> None:
    """The images of a model are filtered by type and paged from 1; invalid parameters get 400."""
    control.model("demo-anna", status="ready", images=3)
    body = {"modelID": "demo-anna", "prompt": "x", "numImages": 2, "sandbox": {"duration_s": 0}}
    api.post("/images/generation", body)
    path = "/models/demo-anna/images"
    sizes = {
        kind: len(api.get(path, params={"imageType": kind}).json()["result"])
        for kind in ("all", "input", "output", "auxiliaryType")
    }
    assert sizes == {"all": 5, "input": 3, "output": 2, "auxiliaryType": 0}
    page = api.get(path, params={"pageNum": 2, "pageSize": 3}).json()
    assert (page["page"], page["pageSize"], len(page["result"])) == (2, 3, 2)
    for query in ({"imageType": "modelInput"}, {"pageNum": "0"}, {"pageSize": "many"}):
        assert api.get(path, params=query).status_code == 400
    assert api.get("/models/unknown/images").status_code == 404
