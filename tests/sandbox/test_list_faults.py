"""The ways in which GET /jobs may be wrong."""

from typing import Any

import pytest

from tests.sandbox.conftest import Api
from tests.sandbox.test_listing import make, pages
from worker.sandbox.faults import Action
from worker.sandbox.jobs import list_jobs
from worker.sandbox.options import SandboxOptions
from worker.sandbox.remote import SandboxControl
from worker.sandbox.sandbox import Request, Sandbox
from worker.sandbox.world import Generation


def wrong_list(control: SandboxControl, **action: Any) -> None:
    """All lists from here on are wrong in this way."""
    control.faults({"match": "listJobs", "action": action})


def test_a_list_may_lag(api: Api, control: SandboxControl) -> None:
    """What is younger than the lag is missing."""
    api.image_id(duration_s=0)
    wrong_list(control, list_lag_s=3600)
    assert api.listed()["jobs"] == []


def test_a_lagging_list_tells_old_statuses() -> None:
    """What changed within the lag is told as it was before."""
    sandbox = Sandbox(SandboxOptions())
    stages = ((0.0, "running"), (10.0, "success"))
    sandbox.archive.put(Generation(id="job_1", kind="image", created_at=1000.0, stages=stages))

    def told(now: float) -> list[str]:
        request = Request(
            operation="listJobs", id="", query={}, headers={}, body=b"", now=now, action=Action(list_lag_s=5)
        )
        return [job["status"] for job in list_jobs(sandbox, request).body["result"]["jobs"]]

    assert [told(1000.0 + age_s) for age_s in (4, 5, 14, 15)] == [[], ["running"], ["running"], ["success"]]


def test_a_list_may_be_oldest_first(api: Api, control: SandboxControl) -> None:
    """Nothing documents the order."""
    wrong_list(control, list_order="oldest_first", page_size=2)
    made = make(api, 3)
    assert pages(api) == [made[:2], made[2:]]


def test_a_list_may_be_shuffled_yet_complete(api: Api, control: SandboxControl) -> None:
    """Every job is on exactly one page, in no order."""
    wrong_list(control, list_order="shuffled", page_size=4)
    made = make(api, 12)
    told = [job_id for page in pages(api) for job_id in page]
    assert sorted(told) == sorted(made)
    assert told not in (made, made[::-1])


def test_pages_may_overlap(api: Api, control: SandboxControl) -> None:
    """Each page begins with the end of the one before, and there is still an end."""
    wrong_list(control, list_repeat=1, page_size=2)
    made = make(api, 4)[::-1]
    assert pages(api) == [made[:2], made[1:3], made[2:]]
    control.clear()
    wrong_list(control, list_repeat=9, page_size=2)
    assert len(pages(api)) == 3


def test_a_list_may_lie(api: Api, control: SandboxControl) -> None:
    """A list says `running` about jobs that have ended, about all or always the same ones."""
    wrong_list(control, list_lie="running")
    make(api, 20)
    assert {job["status"] for job in api.listed()["jobs"]} == {"running"}
    control.clear()
    wrong_list(control, list_lie="failed", list_lie_fraction=0.5)
    told = api.listed()
    assert {job["status"] for job in told["jobs"]} == {"failed", "success"}
    assert api.listed() == told


def test_a_list_may_omit(api: Api, control: SandboxControl) -> None:
    """Some jobs are never shown, always the same ones, and the pages are full all the same."""
    wrong_list(control, list_omit=0.5, page_size=5)
    made = make(api, 40)
    told = pages(api)
    shown = {job_id for page in told for job_id in page}
    assert 0 < len(shown) < len(made)
    assert all(len(page) == 5 for page in told[:-1])
    assert pages(api) == told


@pytest.mark.parametrize(("mark", "token"), [("empty", ""), ("null", None)])
def test_the_last_page_may_be_marked_otherwise(api: Api, control: SandboxControl, mark: str, token: str | None) -> None:
    """How the last page is marked is not documented."""
    wrong_list(control, last_page=mark)
    listed = api.get("/jobs", judged=False).json()["result"]
    assert listed["nextPageToken"] == token
