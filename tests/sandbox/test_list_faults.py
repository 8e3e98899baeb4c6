"""Faults of GET /jobs."""

from typing import Any

import pytest

from tests.sandbox.conftest import Api
from tests.sandbox.test_listing import make, pages
from worker.sandbox.api.jobs import list_jobs
from worker.sandbox.api.request import Request
from worker.sandbox.faults.actions import Action
from worker.sandbox.options import SandboxOptions
from worker.sandbox.remote import SandboxControl
from worker.sandbox.sandbox import Sandbox
from worker.sandbox.state.records import Generation


def wrong_list(control: SandboxControl, **action: Any) -> None:
    """Apply a list fault to all following requests."""
    control.faults({"match": "listJobs", "action": action})


def test_a_list_may_lag(api: Api, control: SandboxControl) -> None:
    """A lagging list leaves out jobs that are younger than the lag."""
    api.image_id(duration_s=0)
    wrong_list(control, list_lag_s=3600)
    assert api.listed()["jobs"] == []


def test_a_lagging_list_shows_old_statuses() -> None:
    """A lagging list shows the statuses of the past."""
    sandbox = Sandbox(SandboxOptions())
    stages = ((0.0, "running"), (10.0, "success"))
    sandbox.archive.put(Generation(id="job_1", kind="image", created_at=1000.0, stages=stages))

    def shown(now: float) -> list[str]:
        request = Request(
            operation="listJobs", id="", query={}, headers={}, body=b"", now=now, action=Action(list_lag_s=5)
        )
        return [job["status"] for job in list_jobs(sandbox, request).body["result"]["jobs"]]

    assert [shown(1000.0 + age_s) for age_s in (4, 5, 14, 15)] == [[], ["running"], ["running"], ["success"]]


def test_a_list_may_be_oldest_first(api: Api, control: SandboxControl) -> None:
    """A list fault sorts the pages oldest first."""
    wrong_list(control, list_order="oldest_first", page_size=2)
    made = make(api, 3)
    assert pages(api) == [made[:2], made[2:]]


def test_a_list_may_be_shuffled_yet_complete(api: Api, control: SandboxControl) -> None:
    """A shuffled list shows every job on exactly one page, in random order."""
    wrong_list(control, list_order="shuffled", page_size=4)
    made = make(api, 12)
    shown = [job_id for page in pages(api) for job_id in page]
    assert sorted(shown) == sorted(made)
    assert shown not in (made, made[::-1])


def test_pages_may_overlap(api: Api, control: SandboxControl) -> None:
    """Overlapping pages repeat the end of the page before, and the last page still ends the list."""
    wrong_list(control, list_repeat=1, page_size=2)
    made = make(api, 4)[::-1]
    assert pages(api) == [made[:2], made[1:3], made[2:]]
    control.clear()
    wrong_list(control, list_repeat=9, page_size=2)
    assert len(pages(api)) == 3


def test_a_list_may_show_a_wrong_status(api: Api, control: SandboxControl) -> None:
    """A list fault shows a wrong status for all jobs, or for a fixed share of them."""
    wrong_list(control, list_lie="running")
    make(api, 20)
    assert {job["status"] for job in api.listed()["jobs"]} == {"running"}
    control.clear()
    wrong_list(control, list_lie="failed", list_lie_fraction=0.5)
    shown = api.listed()
    assert {job["status"] for job in shown["jobs"]} == {"failed", "success"}
    assert api.listed() == shown


def test_a_list_may_omit(api: Api, control: SandboxControl) -> None:
    """A list fault leaves out a fixed share of the jobs, and the pages are full nevertheless."""
    wrong_list(control, list_omit=0.5, page_size=5)
    made = make(api, 40)
    listed = pages(api)
    shown = {job_id for page in listed for job_id in page}
    assert 0 < len(shown) < len(made)
    assert all(len(page) == 5 for page in listed[:-1])
    assert pages(api) == listed


@pytest.mark.parametrize(("mark", "token"), [("empty", ""), ("null", None)])
def test_the_last_page_may_be_marked_otherwise(api: Api, control: SandboxControl, mark: str, token: str | None) -> None:
    """A list fault marks the last page with an empty or null token."""
    wrong_list(control, last_page=mark)
    listed = api.get("/jobs", checked=False).json()["result"]
    assert listed["nextPageToken"] == token
