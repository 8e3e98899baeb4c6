"""What PHOTOGPT_UNCERTAIN_POLICY decides. `reconcile` is what all other tests show."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import image, paid
from tests.integration.api_faults.conftest import Apart, Faults, ended
from worker.sandbox.remote import SandboxProcess

WithPolicy = Callable[[str], Apart]


def test_fail(sandbox: SandboxProcess, faults: Faults, with_policy: WithPolicy) -> None:
    """`fail` ends a job in doubt at once, and PhotoGPT's list is not asked for."""
    apart = with_policy("fail")
    faults("triggerImageGenerationJob", {"drop_after": True})

    said = ended(apart.producer.send_task("photogpt.generate_image", kwargs={"request": image()}))

    assert said.startswith("trigger_uncertain: ")
    assert "it may have been created and charged" in said
    assert paid(sandbox) == 1
    assert "listJobs" not in sandbox.control.state()["requests"]
    assert "Policy: fail" in apart.worker.text()


def test_retry(sandbox: SandboxProcess, faults: Faults, with_policy: WithPolicy) -> None:
    """`retry` asks again without a look, which pays twice where the lost trigger had worked: that is what it says."""
    apart = with_policy("retry")
    faults("triggerImageGenerationJob", {"drop_after": True})

    assert ended(apart.producer.send_task("photogpt.generate_image", kwargs={"request": image()})) == "succeeded"
    assert paid(sandbox) == 2
    assert "listJobs" not in sandbox.control.state()["requests"]


def test_retry_does_not_ask_after_a_yes(sandbox: SandboxProcess, faults: Faults, with_policy: WithPolicy) -> None:
    """A yes without a name is no lost answer: its generation is looked up under `retry`, too."""
    apart = with_policy("retry")
    faults("triggerImageGenerationJob", {"missing_job_id": True})

    assert ended(apart.producer.send_task("photogpt.generate_image", kwargs={"request": image()})) == "succeeded"
    assert paid(sandbox) == 1
    assert sandbox.control.state()["requests"]["triggerImageGenerationJob"] == 1
