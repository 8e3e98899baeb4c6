"""What errors carry."""

from __future__ import annotations

import pickle

import pytest

from worker.domain import errors
from worker.domain.errors import (
    ApiError,
    Conflict,
    DeliveryError,
    JobError,
    Refused,
    SubmissionError,
    Throttled,
    Unauthorized,
    Unavailable,
    WorkerError,
)
from worker.domain.outcome import ERRORS
from worker.domain.reason import Reason


def test_the_tree_is_the_one_drawn() -> None:
    """Every class of the module stands in its drawing."""
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and name != "Reason"}
    drawing = errors.__doc__ or ""
    assert classes == {name for name in classes if name in drawing}
    assert all(issubclass(getattr(errors, name), WorkerError) for name in classes)


@pytest.mark.parametrize(
    ("error", "reason", "definite"),
    [
        (Unauthorized("x"), Reason.UNAUTHORIZED, True),
        (Throttled("x"), Reason.RATE_LIMITED, True),
        (Conflict("x"), Reason.CONFLICT, True),
        (Unavailable("x"), Reason.UNAVAILABLE, False),
        (Unavailable("x", definite=True), Reason.UNAVAILABLE, True),
        (Refused("x", reason=Reason.INVALID_REQUEST), Reason.INVALID_REQUEST, True),
    ],
)
def test_what_is_certain_after_a_fault(error: ApiError, reason: Reason, *, definite: bool) -> None:
    """Only silence leaves open whether something was created."""
    assert (error.reason, error.definite) == (reason, definite)


def test_a_submission_error_names_its_field() -> None:
    """In front of the sentence, if there is a field."""
    assert str(SubmissionError(field="request.prompt", problem="is required")) == "request.prompt: is required"
    assert str(SubmissionError(field="", problem="takes keywords")) == "takes keywords"


def test_a_delivery_error_goes_on_unless_said_otherwise() -> None:
    """Most receivers come back."""
    error = DeliveryError("x", kind="timeout")
    assert (error.final, error.status, error.retry_after) == (False, None, None)


@pytest.mark.parametrize("kind", [JobError, *ERRORS.values()])
def test_what_a_result_backend_stores_can_be_made_again(kind: type[JobError]) -> None:
    """Celery rebuilds the exception from its name and arguments on the producer's side."""
    made: JobError = pickle.loads(pickle.dumps(kind("invalid_request: request.prompt: is required")))  # noqa: S301
    assert type(made) is kind
    assert made.args == ("invalid_request: request.prompt: is required",)
