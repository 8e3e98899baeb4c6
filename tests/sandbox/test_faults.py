"""Each fault has its effect over HTTP."""

import json
import socket
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox.conftest import Api
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxControl


def rule(match: str, /, **action: Any) -> dict[str, Any]:
    """Return a rule that fires once."""
    return {"match": match, "count": 1, "action": action}


def created(control: SandboxControl) -> int:
    """Return the number of generations."""
    return len(control.generations())


@pytest.mark.parametrize(
    ("action", "code", "jobs"),
    [
        ({"status": 503}, 503, 0),
        ({"status": 402, "message": "insufficient credits"}, 402, 0),
        ({"status_after": 502}, 502, 1),
        ({"nok_200": True}, 200, 0),
        ({"not_found": True}, 404, 0),
        ({"unauthorized": True}, 401, 0),
        ({"html": 502}, 502, 0),
        ({"html": 200, "work": True}, 200, 1),
        ({"status": 500, "work": True}, 500, 1),
        ({"garbage": True}, 200, 1),
        ({"missing_job_id": True}, 200, 1),
        ({"work": False}, 500, 0),
    ],
)
def test_a_wrong_answer_does_its_work_or_not(
    api: Api, control: SandboxControl, action: dict[str, Any], code: int, jobs: int
) -> None:
    """An error answer has the configured code, creates a job or not, and the next answer is normal."""
    control.faults(rule("triggerImageGenerationJob", **action))
    assert api.image(checked=False).status_code == code
    assert created(control) == jobs
    assert api.image().status_code == 200


def test_wrong_answers_have_their_bodies(api: Api, control: SandboxControl) -> None:
    """Faults change bodies to NOK under 200, HTML, broken JSON, or a trigger answer without an id."""
    control.faults([rule("trigger*", nok_200=True), rule("ping", html=403), rule("listJobs", garbage=True)])
    assert api.image(checked=False).json()["status"] == "NOK"
    page = api.get("/ping", checked=False)
    assert page.headers["Content-Type"].startswith("text/html")
    with pytest.raises(json.JSONDecodeError):
        json.loads(api.get("/jobs", checked=False).text)
    control.faults(rule("trigger*", missing_job_id=True))
    assert api.image(checked=False).json() == {"status": "OK", "result": {"status": "queued"}}


@pytest.mark.parametrize(
    ("action", "work_is_done"),
    [({"drop": True}, False), ({"drop_after": True}, True), ({"reset_half_body": True}, True)],
)
def test_a_lost_answer(api: Api, control: SandboxControl, action: dict[str, Any], work_is_done: bool) -> None:
    """A lost answer breaks the connection; whether a job exists depends on the action."""
    control.faults(rule("triggerVideoGenerationJob", **action))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        api.video_id()
    assert created(control) == int(work_is_done)


def test_a_client_that_gives_up_may_have_a_job(api: Api, control: SandboxControl) -> None:
    """A trigger whose client timed out creates its job; `latency_before` creates it later."""
    control.faults(rule("trigger*", latency=30))
    url, body = f"{api.base_url}/images/generation", {"modelID": "nanobanana", "prompt": "x"}
    with pytest.raises(requests.ReadTimeout):
        api.session.post(url, json=body, timeout=0.2)
    assert created(control) == 1
    control.faults(rule("trigger*", latency_before=1))
    with pytest.raises(requests.ReadTimeout):
        api.session.post(url, json=body, timeout=0.1)
    assert created(control) == 1
    wait_until(lambda: created(control) == 2, "the late job is made")


@pytest.mark.parametrize(("value", "header"), [(2, "2"), (0.5, "0.5"), ("soon", "soon")])
def test_retry_after_is_written_as_asked(api: Api, control: SandboxControl, value: float | str, header: str) -> None:
    """The Retry-After header has the configured seconds or text."""
    control.faults(rule("ping", status=429, retry_after=value))
    assert api.get("/ping").headers["Retry-After"] == header
    assert "Retry-After" not in api.get("/ping").headers


def test_retry_after_may_be_a_date(api: Api, control: SandboxControl) -> None:
    """The Retry-After header can be an HTTP date."""
    control.faults(rule("ping", status=503, retry_after_date=3600))
    date = parsedate_to_datetime(api.get("/ping").headers["Retry-After"])
    assert 3500 < (date - datetime.now(UTC)).total_seconds() <= 3600


def test_a_huge_answer_is_as_large_as_asked(api: Api, control: SandboxControl) -> None:
    """A huge answer has the configured size and is valid JSON."""
    control.faults(rule("listJobs", huge=3_000_000))
    answer = api.get("/jobs")
    assert len(answer.content) == 3_000_000


def test_an_answer_may_drip(api: Api, control: SandboxControl) -> None:
    """An answer sent byte by byte arrives complete."""
    control.faults(rule("ping", drip=0.001))
    answer = api.call("GET", "/ping", stream=True)
    assert answer.json()["message"] == "pong!"


@pytest.mark.parametrize(("case", "status"), [("upper", "SUCCESS"), ("title", "Success")])
def test_statuses_may_change_their_case(api: Api, control: SandboxControl, case: str, status: str) -> None:
    """A fault changes the letter case of statuses in single answers and in lists."""
    job_id = api.image_id(duration_s=0)
    control.faults({"match": "*", "action": {"odd_case": case}})
    assert api.job(job_id, checked=False)["status"] == status
    listed = api.get("/jobs", checked=False).json()["result"]
    assert listed["jobs"][0]["status"] == status


def test_an_unknown_status_hides_the_outputs(api: Api, control: SandboxControl) -> None:
    """A job shown with an unknown status has no outputs, and afterwards has them again."""
    job_id = api.image_id(duration_s=0)
    control.faults(rule("getJobStatus", unknown_status="Warming"))
    hidden = api.job(job_id, checked=False)
    assert (hidden["status"], "images" in hidden) == ("Warming", False)
    assert api.job(job_id)["status"] == "success"


def test_a_fresh_job_may_not_be_found_yet(api: Api, control: SandboxControl) -> None:
    """A rule with `younger_than_s` applies only while the job is younger."""
    control.faults({"match": "getJobStatus", "younger_than_s": 0.8, "action": {"not_found": True}})
    job_id = api.image_id(duration_s=0)
    assert api.get(f"/jobs/{job_id}").status_code == 404
    wait_until(lambda: api.get(f"/jobs/{job_id}").status_code == 200, "the job is found")


def test_a_rule_may_name_one_id_or_one_text(api: Api, control: SandboxControl) -> None:
    """A rule with an id or a text applies only to requests that contain it."""
    first, second = api.image_id(), api.image_id()
    control.faults({"match": "getJobStatus", "id": first, "action": {"status": 500}})
    assert api.get(f"/jobs/{first}").status_code == 500
    assert api.get(f"/jobs/{second}").status_code == 200
    control.faults({"match": "trigger*", "contains": "a dragon", "action": {"status": 500}})
    assert api.image(prompt="a dragon at noon").status_code == 500
    assert api.image(prompt="a harbour").status_code == 200


def test_a_rule_counts(api: Api, control: SandboxControl) -> None:
    """A rule lets `after` requests pass, fires `count` times, and shows both counts."""
    control.faults({"match": "ping", "after": 1, "count": 2, "action": {"status": 500}})
    assert [api.get("/ping").status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    (live,) = control.live_faults()
    assert (live["matched"], live["fired"]) == (5, 2)
    control.clear()
    assert control.live_faults() == []


def test_probability_is_seeded(api: Api, control: SandboxControl) -> None:
    """A rule with a probability fires for some requests, and for the same ones after a reset."""

    def codes() -> list[int]:
        control.reset()
        control.faults({"match": "ping", "probability": 0.5, "action": {"status": 500}})
        return [api.get("/ping").status_code for _ in range(30)]

    first = codes()
    assert set(first) == {200, 500}
    assert codes() == first


def test_rules_act_together_and_the_earlier_wins(api: Api, control: SandboxControl) -> None:
    """Two rules for one request are merged, and the earlier rule wins."""
    control.faults([rule("ping", status=418), rule("p*", status=500, message="tea")])
    answer = api.get("/ping")
    assert (answer.status_code, answer.json()["message"]) == (418, "tea")


@pytest.mark.parametrize(
    "bad",
    [
        {"action": {}},
        {"match": "ping"},
        {"match": "ping", "action": {"explode": 1}},
        {"match": "ping", "action": {"status": 42}},
        {"match": "ping", "probability": 2, "action": {}},
        "ping",
    ],
)
def test_an_invalid_rule_is_refused(control: SandboxControl, bad: Any) -> None:
    """An invalid rule is refused together with the other rules of its list."""
    with pytest.raises(ValueError, match="refused POST faults"):
        control.faults([rule("ping", status=500), bad])
    assert control.live_faults() == []


def test_a_connection_dropped_before_any_byte(api: Api, control: SandboxControl) -> None:
    """A dropped connection closes without sending a byte."""
    control.faults(rule("ping", drop=True))
    address = urlsplit(api.base_url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=10) as raw:
        raw.sendall(b"GET /api/ping HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        assert raw.recv(1) == b""
