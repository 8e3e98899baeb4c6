"""GET /jobs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.sandbox.conftest import Api
from worker.sandbox.remote import SandboxControl


def make(api: Api, number: int) -> list[str]:
    """Trigger images one after another; return their ids, oldest first."""
    return [api.image_id(duration_s=0) for _ in range(number)]


def pages(api: Api, **query: Any) -> list[list[str]]:
    """Return the job ids of all pages."""
    found = []
    while True:
        page = api.listed(**query)
        found.append([job["jobId"] for job in page["jobs"]])
        if not page.get("nextPageToken"):
            return found
        query = {"pageToken": page["nextPageToken"]}


def ago(**span: float) -> str:
    """Return the time this long ago."""
    return (datetime.now(UTC) - timedelta(**span)).isoformat()


def test_pages_are_newest_first_and_complete(api: Api, control: SandboxControl) -> None:
    """Every job is on exactly one page, newest first, and the last page has no token."""
    control.options(page_size=3)
    made = make(api, 7)
    newest_first = made[::-1]
    assert pages(api) == [newest_first[:3], newest_first[3:6], newest_first[6:]]


def test_jobs_made_while_paging_do_not_move_the_pages(api: Api, control: SandboxControl) -> None:
    """Jobs created between two page requests do not change the later page."""
    control.options(page_size=2)
    made = make(api, 3)
    first = api.listed()
    make(api, 5)
    assert [job["jobId"] for job in api.listed(pageToken=first["nextPageToken"])["jobs"]] == [made[0]]


def test_the_window_is_by_creation_and_includes_its_ends(api: Api) -> None:
    """The window filters by creation time and includes both ends."""
    (job_id,) = make(api, 1)
    created_at = api.job(job_id)["createdAt"]
    assert pages(api, start=created_at, end=created_at) == [[job_id]]
    assert pages(api, end=ago(seconds=30)) == [[]]


@pytest.mark.parametrize(
    "query",
    [
        {"start": ago(days=7.1)},
        {"start": ago(days=20), "end": ago(days=12)},
        {"start": ago(days=1), "end": ago(days=2)},
        {"start": "yesterday"},
        {"end": "42"},
        {"pageToken": "nonsense"},
        {"pageToken": "WzUsIDEsIDBd"},
    ],
)
def test_a_bad_window_or_token_is_refused(api: Api, query: dict[str, str]) -> None:
    """A window that is too long, reversed or unreadable, or an invalid token, gets 400."""
    assert api.get("/jobs", params=query).status_code == 400


def test_a_window_of_seven_days_is_accepted(api: Api) -> None:
    """A window of exactly seven days is accepted."""
    end = datetime.now(UTC) - timedelta(days=10)
    start = end - timedelta(days=7)
    assert pages(api, start=start.isoformat(), end=end.isoformat()) == [[]]


def test_an_entry_has_credits_but_no_outputs(api: Api) -> None:
    """A list entry has credits, but neither kind, model, prompt nor outputs."""
    make(api, 1)
    (entry,) = api.listed()["jobs"]
    assert set(entry) == {"jobId", "status", "createdAt", "updatedAt", "credits"}


def test_trainings_appear_as_jobs_by_default(api: Api, control: SandboxControl) -> None:
    """Trainings appear in both job endpoints with job statuses, unless `training_jobs` is off."""
    control.model("demo-anna", duration_s=0)
    api.get("/models/demo-anna/train")
    (entry,) = api.listed()["jobs"]
    job = api.job(entry["jobId"])
    assert (job["status"], job["modelId"], "images" in job) == ("success", "demo-anna", False)
    control.options(training_jobs=False)
    assert api.listed()["jobs"] == []
    assert api.get(f"/jobs/{entry['jobId']}").status_code == 404
