"""The errors of this package. `retryable` says whether the same call can succeed later without paying twice.

PhotoGPTError
├─ InvalidJob         an argument cannot be used; nothing was sent; names the field
├─ RedisUnavailable   Redis did not answer; retryable
├─ RedisRefused       Redis refuses the login or the command
├─ WaitTimeout        the job has not ended yet; retryable
├─ JobGone            no job has this id, or its record has expired
├─ WebhookRefused     a webhook has no valid signature
├─ WebhookBusy        a webhook is being handled by another request; retryable
└─ JobNotSucceeded    the job ended in another state; has its outcome; retryable as the outcome says
   ├─ JobFailed
   ├─ JobExpired
   └─ JobCanceled
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from photogpt_client.outcomes import Outcome


class PhotoGPTError(Exception):
    """The root of the errors of this package."""

    #: Whether the same call can succeed later without paying twice.
    retryable: bool = False


class InvalidJob(PhotoGPTError, ValueError):
    """An argument cannot be used, and nothing was sent.

    Attributes:
        field: the argument, dotted where it is nested: `options.veo.duration`.
    """

    def __init__(self, field: str, problem: str) -> None:
        """Build the message from the field and the problem."""
        super().__init__(f"{field}: {problem}")
        self.field = field


class RedisUnavailable(PhotoGPTError, ConnectionError):
    """Redis did not answer. Jobs may have been appended or not: send them again with the same ids.

    Attributes:
        job_ids: of the jobs whose append was not acknowledged; the same id twice is one job, paid once.
        batch_id: of their batch; `submit_many` with the same jobs and this id makes no job twice.
    """

    retryable = True

    def __init__(self, message: str, job_ids: tuple[str, ...] = (), batch_id: str | None = None) -> None:
        """Store the ids."""
        super().__init__(message)
        self.job_ids = job_ids
        self.batch_id = batch_id


class RedisRefused(PhotoGPTError):
    """Redis refuses the login or the command. Check the user, the password and the rights in the URL."""


class WaitTimeout(PhotoGPTError, TimeoutError):
    """The job or batch has not ended within the timeout. It goes on; wait again."""

    retryable = True


class JobGone(PhotoGPTError, LookupError):
    """No job or batch has this id, or its record has expired, so that no outcome will come."""


class WebhookRefused(PhotoGPTError, ValueError):
    """A webhook has no valid signature, is too old, or is malformed. Answer 401."""


class WebhookBusy(PhotoGPTError):
    """Another request handles the event of a webhook now. Answer 503, so that the webhook is sent again."""

    retryable = True


class JobNotSucceeded(PhotoGPTError):
    """A job ended in another state than `succeeded`.

    Attributes:
        outcome: of the job.
        retryable: True if the same request, sent again, can succeed and cannot be paid twice.
    """

    def __init__(self, outcome: Outcome) -> None:
        """Build the message from reason and error."""
        super().__init__(f"{outcome['reason']}: {outcome['error']}")
        self.outcome = outcome
        self.retryable = outcome["retryable"] is True


class JobFailed(JobNotSucceeded):
    """The job ended as `failed`."""


class JobExpired(JobNotSucceeded):
    """The job's deadline passed."""


class JobCanceled(JobNotSucceeded):
    """The job was canceled."""
