"""The error classes: what each one carries, and how it is shown."""

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
    """Every error class of the module appears in the drawing at the top of the module."""
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
def test_definite_api_errors(error: ApiError, reason: Reason, *, definite: bool) -> None:
    """After an API error, only a missing or unreadable answer leaves open whether something was created."""
    assert (error.reason, error.definite) == (reason, definite)


def test_a_submission_error_names_its_field() -> None:
    """The message of a submission error starts with the invalid field, if there is one."""
    assert str(SubmissionError(field="request.prompt", problem="is required")) == "request.prompt: is required"
    assert str(SubmissionError(field="", problem="takes keywords")) == "takes keywords"


def test_a_delivery_error_allows_retries_by_default() -> None:
    """A delivery error allows further attempts by default."""
    error = DeliveryError("x", kind="timeout")
    assert (error.final, error.status, error.retry_after) == (False, None, None)


@pytest.mark.parametrize("kind", [JobError, *ERRORS.values()])
def test_job_errors_can_be_pickled(kind: type[JobError]) -> None:
    """A job error survives pickling, so that Celery can raise it again on the producer's side."""
    made: JobError = pickle.loads(pickle.dumps(kind("invalid_request: request.prompt: is required")))  # noqa: S301
    assert type(made) is kind
    assert made.args == ("invalid_request: request.prompt: is required",)
