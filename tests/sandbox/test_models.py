"""Models and training."""

import pytest

from tests.sandbox.conftest import Api, wait_until
from worker.sandbox.remote import SandboxControl


def test_a_model_is_made_changed_and_listed(api: Api) -> None:
    """A new one has status `new`; an update keeps its id."""
    made = api.post("/models", {"name": "Anna", "age": 30, "gender": "Female"}).json()["result"]
    assert made["status"] == "new"
    changed = api.post("/models", {"id": made["id"], "eyeColor": "green"}).json()["result"]
    assert changed["id"] == made["id"]
    assert [model["id"] for model in api.get("/models").json()["result"]] == [made["id"]]


@pytest.mark.parametrize(("body", "code"), [({"gender": "x"}, 400), ({"age": "x"}, 400), ({"id": "nobody"}, 404)])
def test_a_bad_model_is_refused(api: Api, body: dict[str, str], code: int) -> None:
    """What is documented is checked."""
    assert api.post("/models", body).status_code == code


def test_a_training_passes_through_its_states(api: Api, control: SandboxControl) -> None:
    """The trigger answers with a text and no job id; the model tells the rest."""
    control.model("demo-anna", duration_s=0.2)
    assert api.get("/models/demo-anna").json()["result"]["status"] == "new"
    assert api.get("/models/demo-anna/train").json()["result"] == "Training triggered"
    seen: list[str] = []

    def ready() -> bool:
        seen.append(api.get("/models/demo-anna").json()["result"]["status"])
        return seen[-1] == "ready"

    wait_until(ready, "the model never became ready")
    assert list(dict.fromkeys(seen)) == [status for status in ("training", "processing", "ready") if status in seen]
    assert control.state()["trainings"] == {"demo-anna": 1}


@pytest.mark.parametrize("end", ["failed", "new"])
def test_a_training_may_fail_in_two_ways(api: Api, control: SandboxControl, end: str) -> None:
    """The model says `failed`, or is `new` again; the job says why."""
    control.model("demo-anna", duration_s=0, end=end, error="faces differ")
    api.get("/models/demo-anna/train")
    assert api.get("/models/demo-anna").json()["result"]["status"] == end
    assert api.job(api.listed()["jobs"][0]["jobId"])["error"] == "faces differ"


def test_a_fault_may_say_how_a_training_ends(api: Api, control: SandboxControl) -> None:
    """The wish of a rule holds for the training that the request starts."""
    control.model("demo-anna")
    control.faults({"match": "triggerModelTraining", "action": {"wish": {"duration_s": 0, "end": "failed"}}})
    api.get("/models/demo-anna/train")
    assert api.get("/models/demo-anna").json()["result"]["status"] == "failed"


def test_training_is_refused_for_its_reasons(api: Api, control: SandboxControl) -> None:
    """Unknown is 404, under way is 409, too many is 429."""
    assert api.get("/models/nobody/train").status_code == 404
    control.model("demo-anna", end="never")
    control.model("demo-ben")
    control.options(max_trainings=1)
    assert api.get("/models/demo-anna/train").status_code == 200
    assert api.get("/models/demo-anna/train").status_code == 409
    assert api.get("/models/demo-ben/train").status_code == 429


@pytest.mark.parametrize(("images", "code"), [(11, 400), (12, 200), (20, 200), (21, 400)])
def test_a_strict_sandbox_counts_the_images(api: Api, control: SandboxControl, images: int, code: int) -> None:
    """12 to 20 of type modelInput are needed."""
    control.options(strict_training_images=True)
    control.model("demo-anna", images=images)
    assert api.get("/models/demo-anna/train").status_code == code


def test_a_deleted_model_is_readable_and_useless(api: Api, control: SandboxControl) -> None:
    """It has the documented status `deleted`, and a model in training cannot be deleted."""
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
    """The filter says `input` where the upload says `modelInput`; pages are numbered from 1."""
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
    assert api.get("/models/nobody/images").status_code == 404
