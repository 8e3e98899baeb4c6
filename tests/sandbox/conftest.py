"""Fixtures: one sandbox process for all tests, reset before each, and a client that checks every answer."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.sandbox.description import Description
from worker.sandbox.remote import SandboxControl, SandboxProcess


class Api:
    """Call the API as a user would; an answer that the OpenAPI description does not allow fails the test."""

    def __init__(self, process: SandboxProcess, description: Description) -> None:
        self.base_url = process.base_url
        self.control = process.control
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(process.headers)
        self._description = description

    def call(self, method: str, path: str, *, checked: bool = True, **more: Any) -> requests.Response:
        """Send one request; with `checked=False` any answer is accepted."""
        answer = self.session.request(method, self.base_url + path, timeout=20, **more)
        if checked:
            violations = self._description.violations(method, path, answer.status_code, answer.json())
            assert violations == [], f"{method} {path} answered {answer.status_code} {answer.text}"
        return answer

    def get(self, path: str, **more: Any) -> requests.Response:
        """GET."""
        return self.call("GET", path, **more)

    def post(self, path: str, body: object = None, **more: Any) -> requests.Response:
        """POST with a JSON body."""
        return self.call("POST", path, json=body, **more)

    def delete(self, path: str, **more: Any) -> requests.Response:
        """DELETE."""
        return self.call("DELETE", path, **more)

    def image(self, *, checked: bool = True, prompt: str = "a harbour", **more: Any) -> requests.Response:
        """Trigger an image."""
        body = {"modelID": "nanobanana", "prompt": prompt, **more}
        return self.post("/images/generation", body, checked=checked)

    def image_id(self, **sandbox: Any) -> str:
        """Trigger an image with a directive and return the job id."""
        return str(self.image(sandbox=sandbox).json()["result"]["jobId"])

    def video_id(self, **sandbox: Any) -> str:
        """Trigger a video with a directive and return the job id."""
        body = {"modelID": "veo-3.1", "prompt": "a kite", "sandbox": sandbox}
        return str(self.post("/videos/generation", body).json()["result"]["jobId"])

    def job(self, job_id: str, **more: Any) -> Any:
        """Return the result of GET /jobs/{id}."""
        return self.get(f"/jobs/{job_id}", **more).json()["result"]

    def listed(self, **query: Any) -> Any:
        """Return the result of GET /jobs."""
        return self.get("/jobs", params=query).json()["result"]


@pytest.fixture(scope="session")
def description() -> Description:
    """Load PhotoGPT's OpenAPI description."""
    return Description()


@pytest.fixture(scope="session")
def running() -> Iterator[SandboxProcess]:
    """Start the process that all tests share."""
    with SandboxProcess("--seed", "7") as process:
        yield process


@pytest.fixture
def control(running: SandboxProcess) -> SandboxControl:
    """Reset the sandbox and return its control client."""
    running.control.reset()
    return running.control


@pytest.fixture
def api(running: SandboxProcess, control: SandboxControl, description: Description) -> Iterator[Api]:
    """Reset the sandbox and return its API client."""
    assert control is running.control
    client = Api(running, description)
    yield client
    client.session.close()
