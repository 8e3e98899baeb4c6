"""API key, version header, rate limit, and unknown endpoints."""

from typing import Any

import pytest

from tests.sandbox.conftest import Api
from tests.sandbox.description import Description
from worker.sandbox.api.routes import OPERATIONS
from worker.sandbox.remote import SandboxControl


def test_every_documented_operation_is_there(description: Description) -> None:
    """The sandbox has exactly the operations of PhotoGPT's description."""
    assert set(OPERATIONS) == description.operation_ids()


def test_a_well_behaved_request_is_answered(api: Api) -> None:
    """A request with key and version is answered: the health check, and the presets."""
    assert api.get("/ping").json() == {"message": "pong!", "status": "OK"}
    assert api.get("/presets").json()["result"][0]["tag"] == "editorial"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "sandbox-key"}, 401),
        ({"API-Version": None}, 400),
        ({"API-Version": "2"}, 400),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/ping"), ("POST", "/images/generation"), ("GET", "/jobs/x")])
def test_key_and_version_are_needed_everywhere(
    api: Api, headers: dict[str, Any], code: int, method: str, path: str
) -> None:
    """Every operation refuses a request without the right key or version."""
    assert api.call(method, path, headers=headers).status_code == code


def test_keys_change_at_run_time(api: Api, control: SandboxControl) -> None:
    """A revoked key is refused at once, the refusal is counted, and an added key is accepted."""
    assert control.keys(add=["second"], revoke=["sandbox-key"]) == ["second"]
    assert api.get("/ping").status_code == 401
    assert api.get("/ping", headers={"Authorization": "Bearer second"}).status_code == 200
    assert control.state()["auth_failures"] == 1


def test_the_rate_is_limited(api: Api, control: SandboxControl) -> None:
    """A request above the rate gets 429; without a limit the next request is answered."""
    control.options(rate_limit=0.001, retry_after=1)
    assert [api.get("/jobs/x").status_code for _ in range(3)] == [404, 429, 429]
    control.options(rate_limit=None)
    assert api.get("/ping").status_code == 200
    assert control.state()["rate_limited"] == 2


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("PUT", "/models"), ("GET", "/models/a/b/c"), ("POST", "/jobs/x")]
)
def test_an_unknown_path_or_method_is_not_found(api: Api, method: str, path: str) -> None:
    """An unknown path and a wrong method get a NOK answer with 404."""
    answer = api.call(method, path, checked=False)
    assert (answer.status_code, answer.json()["status"]) == (404, "NOK")


def test_an_internal_error_is_answered_with_500(api: Api, control: SandboxControl) -> None:
    """An internal error of the sandbox is answered 500, and the next request is answered normally."""
    control.options(max_active="many")
    assert api.image().status_code == 500
    control.options(max_active=None)
    assert api.image().status_code == 200


def test_a_path_outside_the_api_is_not_found(api: Api) -> None:
    """A path outside of /api is answered 404."""
    assert api.session.get(api.base_url.removesuffix("/api") + "/ping", timeout=20).status_code == 404
