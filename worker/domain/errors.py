"""What can go wrong, drawn once.

WorkerError
├─ SubmissionError          what a producer handed in cannot become a job; names the field
├─ ApiError                 PhotoGPT did not do what it was asked; `definite` says that nothing was created
│  ├─ Refused               it will not do this, now or later; carries a Reason
│  ├─ Unauthorized          the key is not accepted; the lane waits for an operator, no job fails
│  ├─ Throttled             too much at once (429)
│  ├─ Conflict              another operation is in the way (409)
│  └─ Unavailable           no answer, half an answer, or one that cannot be read
│     └─ MissingGenerationId   it said yes to a trigger and named nothing
├─ DeliveryError            a receiver did not take a webhook; carries a class and whether to go on
├─ WebhookError             what somebody asks for a webhook or an endpoint cannot be done; says why
└─ JobError                 how a job that did not succeed reaches its producer, as the Celery result
   ├─ JobFailed
   ├─ JobExpired
   └─ JobCanceled

A generation that failed is an outcome, not an exception; JobError exists since Celery's result of a task that did
not succeed is an exception.
"""

from __future__ import annotations

from worker.domain.reason import Reason


class WorkerError(Exception):
    """The root of everything raised on purpose."""


class SubmissionError(WorkerError):
    """A producer handed in something that cannot become a job.

    Attributes:
        field: the argument at fault, dotted (`request.prompt`).
    """

    def __init__(self, *, field: str, problem: str) -> None:
        """Say which argument is at fault and what to do."""
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


class ApiError(WorkerError):
    """PhotoGPT did not do what it was asked.

    Attributes:
        status: the HTTP code, or None where no answer came.
        definite: nothing was created, so asking again cannot pay twice.
        retry_after: seconds PhotoGPT asked us to wait, or None.
        reason: what a reader of the job is told.
    """

    reason = Reason.UNAVAILABLE
    definite = True

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        definite: bool | None = None,
    ) -> None:
        """Keep what the answer said."""
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        if definite is not None:
            self.definite = definite


class Refused(ApiError):
    """PhotoGPT will not do this, however often it is asked."""

    def __init__(self, message: str, *, reason: Reason, status: int | None = None) -> None:
        """Carry the reason."""
        super().__init__(message, status=status)
        self.reason = reason


class Unauthorized(ApiError):
    """The API key is missing, wrong, or was revoked."""

    reason = Reason.UNAUTHORIZED


class Throttled(ApiError):
    """Too many requests, or too many jobs at once."""

    reason = Reason.RATE_LIMITED


class Conflict(ApiError):
    """Another operation is in the way; it may be asked again once that has finished."""

    reason = Reason.CONFLICT


class Unavailable(ApiError):
    """No answer, half an answer, or one that cannot be read. What became of a trigger is unknown."""

    definite = False


class MissingGenerationId(Unavailable):
    """PhotoGPT said yes to a trigger and did not name what it created: very likely there, and paid for."""


class DeliveryError(WorkerError):
    """A receiver did not take a webhook.

    Attributes:
        kind: the class of fault, a word for history and metrics.
        status: the HTTP code, or None.
        retry_after: seconds the receiver asked for, or None.
        final: no further attempt shall be made.
        disable: why nothing more shall be sent to the endpoint: `gone` or `asked`; or nothing.
        theirs: the endpoint is to blame, not our own proxy or our own refusal.
        duration_s: how long the attempt took, or None where none was made.
        answer: how the receiver's answer begins, as the history keeps it.
    """

    def __init__(  # noqa: PLR0913 - one record
        self,
        message: str,
        *,
        kind: str,
        status: int | None = None,
        retry_after: float | None = None,
        final: bool = False,
        disable: str = "",
        endpoint_at_fault: bool = True,
    ) -> None:
        """Keep what the attempt showed."""
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after = retry_after
        self.final = final
        self.disable = disable
        self.endpoint_at_fault = endpoint_at_fault
        self.duration_s: float | None = None
        self.answer: dict[str, str] = {}


class WebhookError(WorkerError):
    """What somebody asks for a webhook or an endpoint cannot be done. The message says why."""


class JobError(WorkerError):
    """A job that did not succeed. Its one argument is a sentence that starts with the reason."""


class JobFailed(JobError):
    """The job ended as `failed`."""


class JobExpired(JobError):
    """The job's deadline passed."""


class JobCanceled(JobError):
    """Somebody canceled the job."""
