"""How requests to PhotoGPT and attempts at webhooks are named in the metrics."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from worker.domain.errors import (
    ApiError,
    Conflict,
    DeliveryError,
    MissingGenerationId,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
)
from worker.domain.reason import Reason
from worker.photogpt.measured import Measured, outcome_of
from worker.steps.deliver import webhook_outcome
from worker.telemetry.labels import ApiOutcome, Operation, WebhookOutcome
from worker.telemetry.metrics import KEY_REJECTED


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, ApiOutcome.OK),
        (Refused("no", reason=Reason.REFUSED, status=400), ApiOutcome.REFUSED),
        (Unauthorized("no", status=401), ApiOutcome.UNAUTHORIZED),
        (Throttled("wait", status=429), ApiOutcome.THROTTLED),
        (Conflict("busy", status=409), ApiOutcome.CONFLICT),
        (Unavailable("down", status=503), ApiOutcome.SERVER_ERROR),
        (Unavailable("html", status=200), ApiOutcome.INVALID_ANSWER),
        (MissingGenerationId("no id", status=200), ApiOutcome.INVALID_ANSWER),
        (Unavailable("timeout"), ApiOutcome.NO_ANSWER),
        (KeyError("a fault of ours"), ApiOutcome.NO_ANSWER),
    ],
)
def test_a_request_has_one_outcome(error: Exception | None, outcome: ApiOutcome) -> None:
    """Every error of the API, and any other, has one outcome."""
    assert outcome_of(error) is outcome


def test_the_key_is_rejected_until_another_answer(registry: CollectorRegistry) -> None:
    """After a rejected key the gauge is 1 until PhotoGPT answers anything else; no answer changes nothing."""

    def request(error: ApiError | None) -> float | None:
        try:
            with Measured(Operation.PING):
                if error:
                    raise error
        except ApiError:
            pass
        return registry.get_sample_value(KEY_REJECTED.name)

    errors = Unauthorized("no", status=401), Unavailable("timeout"), Throttled("wait", status=429), None
    assert [request(error) for error in errors] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("http_5xx", WebhookOutcome.HTTP_5XX),
        ("timeout", WebhookOutcome.TIMEOUT),
        ("port_refused", WebhookOutcome.ADDRESS_REFUSED),
        ("invalid_url", WebhookOutcome.ADDRESS_REFUSED),
        ("http_1xx", WebhookOutcome.OTHER),
        ("a kind of tomorrow", WebhookOutcome.OTHER),
    ],
)
def test_an_attempt_has_one_outcome(kind: str, outcome: WebhookOutcome) -> None:
    """Every kind of failure has an outcome; an unknown one is `other`, and one without an attempt is `not_sent`."""
    error = DeliveryError("failed", kind=kind)
    assert webhook_outcome(error) is WebhookOutcome.NOT_SENT
    error.duration_s = 0.1
    assert webhook_outcome(error) is outcome
