"""Values of PHOTOGPT_UNCERTAIN_POLICY; all other tests run with `reconcile`."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import image_request, paid_generations
from tests.integration.api_faults.conftest import Faults, IsolatedWorker, ended
from worker.sandbox.remote import SandboxProcess

WithPolicy = Callable[[str], IsolatedWorker]


def test_fail(sandbox: SandboxProcess, faults: Faults, with_policy: WithPolicy) -> None:
    """With policy `fail` a job whose answer was lost ends at once, and the list is not requested."""
    isolated = with_policy("fail")
    faults("triggerImageGenerationJob", {"drop_after": True})

    said = ended(isolated.producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}))

    assert said.startswith("trigger_uncertain: ")
    assert "a generation may exist and be charged" in said
    assert paid_generations(sandbox) == 1
    assert "listJobs" not in sandbox.control.state()["requests"]
    assert "PHOTOGPT_UNCERTAIN_POLICY=fail" in isolated.worker.text()


def test_retry(sandbox: SandboxProcess, faults: Faults, with_policy: WithPolicy) -> None:
    """With policy `retry` a lost answer is triggered again without reading the list, which can pay twice."""
    isolated = with_policy("retry")
    faults("triggerImageGenerationJob", {"drop_after": True})

    assert (
        ended(isolated.producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}))
        == "succeeded"
    )
    assert paid_generations(sandbox) == 2
    assert "listJobs" not in sandbox.control.state()["requests"]


def test_retry_after_acceptance_without_id(sandbox: SandboxProcess, faults: Faults, with_policy: WithPolicy) -> None:
    """With policy `retry` a trigger accepted without a generation id is still reconciled, not repeated."""
    isolated = with_policy("retry")
    faults("triggerImageGenerationJob", {"missing_job_id": True})

    assert (
        ended(isolated.producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}))
        == "succeeded"
    )
    assert paid_generations(sandbox) == 1
    assert sandbox.control.state()["requests"]["triggerImageGenerationJob"] == 1
