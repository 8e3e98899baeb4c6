"""What PHOTOGPT_UNCERTAIN_POLICY decides. `reconcile` is what all other tests show."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import image_request, paid_generations
from tests.integration.api_faults.conftest import Faults, IsolatedWorker, ended
from worker.sandbox.remote import SandboxProcess

WithPolicy = Callable[[str], IsolatedWorker]


def test_fail(sandbox: SandboxProcess, faults: Faults, with_policy: WithPolicy) -> None:
    """`fail` ends a job in doubt at once, and PhotoGPT's list is not asked for."""
    isolated = with_policy("fail")
    faults("triggerImageGenerationJob", {"drop_after": True})

    said = ended(isolated.producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}))

    assert said.startswith("trigger_uncertain: ")
    assert "it may have been created and charged" in said
    assert paid_generations(sandbox) == 1
    assert "listJobs" not in sandbox.control.state()["requests"]
    assert "Policy: fail" in isolated.worker.text()


def test_retry(sandbox: SandboxProcess, faults: Faults, with_policy: WithPolicy) -> None:
    """`retry` asks again without a look, which pays twice where the lost trigger had worked: that is what it says."""
    isolated = with_policy("retry")
    faults("triggerImageGenerationJob", {"drop_after": True})

    assert (
        ended(isolated.producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}))
        == "succeeded"
    )
    assert paid_generations(sandbox) == 2
    assert "listJobs" not in sandbox.control.state()["requests"]


def test_retry_does_not_ask_after_a_yes(sandbox: SandboxProcess, faults: Faults, with_policy: WithPolicy) -> None:
    """A yes without a name is no lost answer: its generation is looked up under `retry`, too."""
    isolated = with_policy("retry")
    faults("triggerImageGenerationJob", {"missing_job_id": True})

    assert (
        ended(isolated.producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}))
        == "succeeded"
    )
    assert paid_generations(sandbox) == 1
    assert sandbox.control.state()["requests"]["triggerImageGenerationJob"] == 1
