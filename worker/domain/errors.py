"""Every exception that the service raises on purpose.

WorkerError
├─ SubmissionError          the arguments of a task are invalid; names the field
├─ ApiError                 a request to PhotoGPT failed; `definite` means that it created nothing
│  ├─ Refused               PhotoGPT refuses the request for good; carries a Reason
│  ├─ Unauthorized          PhotoGPT does not accept the API key; the lane pauses, no job fails
│  ├─ Throttled             too many requests or jobs (429)
│  ├─ Conflict              another operation is in progress (409)
│  └─ Unavailable           no answer, an incomplete answer, or an invalid one
│     └─ MissingGenerationId   PhotoGPT accepted a trigger and returned no id
├─ DeliveryError            an attempt at a webhook failed; carries a kind and whether to retry
├─ FileError                an output cannot be downloaded or stored; says whether a fresh URL may help
├─ StorageError             the bucket or folder of PHOTOGPT_OUTPUTS cannot be used; the message says what to do
├─ WebhookError             a command about a webhook or an endpoint is impossible; the message says why
└─ JobError                 the Celery result of a job that did not succeed
   ├─ JobFailed
   ├─ JobExpired
   └─ JobCanceled

A generation that failed at PhotoGPT is an outcome, not an exception. JobError exists because Celery stores an exception
as the result of a task that did not succeed.
"""

from __future__ import annotations

from worker.domain.reason import Reason


class WorkerError(Exception):
    """The root of all exceptions of the service."""


class SubmissionError(WorkerError):
    """The arguments of a task are invalid.

    Attributes:
        field: the invalid argument, dotted (`request.prompt`); empty if it is none in particular.
    """

    def __init__(self, *, field: str, problem: str) -> None:
        """Build the message from the field and the problem."""
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


class ApiError(WorkerError):
    """A request to PhotoGPT failed.

    Attributes:
        status: the HTTP code, or None without an answer.
        definite: True if the request created nothing, so that a repeat cannot pay twice.
        retry_after: seconds to wait that PhotoGPT asked for, or None.
        reason: for the outcome of the job.
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
        """Store the details of the answer."""
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        if definite is not None:
            self.definite = definite


class Refused(ApiError):
    """PhotoGPT refuses the request for good; a repeat gets the same answer."""

    def __init__(self, message: str, *, reason: Reason, status: int | None = None) -> None:
        """Store the reason."""
        super().__init__(message, status=status)
        self.reason = reason


class Unauthorized(ApiError):
    """The API key is missing, wrong, or was revoked."""

    reason = Reason.UNAUTHORIZED


class Throttled(ApiError):
    """Too many requests, or too many jobs at once."""

    reason = Reason.RATE_LIMITED


class Conflict(ApiError):
    """Another operation is in progress; the request can be repeated when it has ended."""

    reason = Reason.CONFLICT


class Unavailable(ApiError):
    """No answer, an incomplete answer, or an invalid one. A trigger may have created a generation."""

    definite = False


class MissingGenerationId(Unavailable):
    """PhotoGPT accepted a trigger and returned no id. The generation very likely exists and was charged."""


class DeliveryError(WorkerError):
    """An attempt at a webhook failed.

    Attributes:
        kind: of failure, such as `timeout`, for history and metrics.
        status: the HTTP code, or None without an answer.
        retry_after: seconds to wait that the receiver asked for, or None.
        final: True if no further attempt may be made.
        disable: why the endpoint must be disabled: `gone` or `asked`; empty if it must not.
        endpoint_at_fault: False if our own proxy or our own refusal is the cause.
        duration_s: of the attempt, or None if no request was sent.
        answer: the start of the receiver's answer, for the history.
    """

    def __init__(  # noqa: PLR0913 - the fields of one record
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
        """Store the details of the attempt."""
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_after = retry_after
        self.final = final
        self.disable = disable
        self.endpoint_at_fault = endpoint_at_fault
        self.duration_s: float | None = None
        self.answer: dict[str, str] = {}


class FileError(WorkerError):
    """An output cannot be downloaded or stored at the moment.

    Attributes:
        status: the HTTP code of the download, or None without an answer.
        expired: the URL may have expired; a fresh one may help.
        max_attempts: after as many failed attempts the file is given up; None: at the deadline only.
    """

    def __init__(
        self, message: str, *, status: int | None = None, expired: bool = False, max_attempts: int | None = None
    ) -> None:
        """Store the details of the failure."""
        super().__init__(message)
        self.status = status
        self.expired = expired
        self.max_attempts = max_attempts


class StorageError(WorkerError):
    """The bucket or folder of PHOTOGPT_OUTPUTS cannot be used. The message says what to do.

    Attributes:
        of_one_file: other files can be stored nevertheless.
    """

    def __init__(self, message: str, *, of_one_file: bool = False) -> None:
        """Store how far the failure reaches."""
        super().__init__(message)
        self.of_one_file = of_one_file


class WebhookError(WorkerError):
    """A command about a webhook or an endpoint is impossible. The message says why."""


class JobError(WorkerError):
    """A job did not succeed. The one argument is a sentence that starts with the reason."""


class JobFailed(JobError):
    """The job ended as `failed`."""


class JobExpired(JobError):
    """The job's deadline passed."""


class JobCanceled(JobError):
    """The job was canceled."""
