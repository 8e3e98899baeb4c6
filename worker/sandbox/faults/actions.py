"""What can go wrong with one request."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.sandbox.faults.directives import Directive


class Action(BaseModel):
    """A fault of one request; the fields that are set act together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency: float | None = Field(default=None, ge=0)
    """Seconds between the work and the answer."""
    latency_before: float | None = Field(default=None, ge=0)
    """Seconds before any work; a job made by the request is created that much later."""
    work: bool | None = None
    """Overrides whether the work is done."""

    status: int | None = Field(default=None, ge=200, le=599)
    """A NOK answer with this code, instead of any work."""
    status_after: int | None = Field(default=None, ge=200, le=599)
    """A NOK answer with this code after the work was done."""
    message: str | None = None
    """The message of a NOK answer."""
    retry_after: float | str | None = None
    """The Retry-After header of a NOK answer: seconds, or any text unchanged."""
    retry_after_date: float | None = None
    """The Retry-After header as an HTTP date this many seconds ahead."""
    nok_200: bool | None = None
    """A NOK answer under code 200, instead of any work."""
    not_found: bool | None = None
    """404, instead of any work; with `younger_than_s` it is the 404 right after a trigger."""
    unauthorized: bool | None = None
    """401, instead of any work."""
    html: int | None = Field(default=None, ge=200, le=599)
    """A proxy's HTML page with this code, instead of any work."""

    drop: bool | None = None
    """The connection is closed before any work."""
    drop_after: bool | None = None
    """The work is done, then the connection is closed without an answer."""
    reset_half_body: bool | None = None
    """The work is done, but the connection is closed in the middle of the answer."""
    drip: float | None = Field(default=None, gt=0)
    """The body is sent byte by byte, with this many seconds in between."""
    huge: int | None = Field(default=None, gt=0)
    """The work is done, and the answer is JSON of this many bytes."""
    garbage: bool | None = None
    """The work is done, and the answer is 200 with a body that is not JSON."""
    redirect: str | None = None
    """302 (or `status`) with this Location, instead of any work; `{id}` stands for the id in the path."""

    endless: bool | None = None
    """The work is done, and zeros follow the body until the client closes the connection."""
    bytes_per_s: float | None = Field(default=None, gt=0)
    """The body is sent at this rate."""
    stall_after: int | None = Field(default=None, ge=0)
    """After this many bytes of the body nothing more is sent, and the connection stays open."""
    without_length: bool | None = None
    """The answer has no Content-Length: its end is the end of the connection. With `reset_half_body`, nothing shows
    that the body is cut short."""
    chunked: bool | None = None
    """The answer is sent in chunks, without a Content-Length."""
    content_type: str | None = None
    """The Content-Type header, whatever the body is."""
    missing_job_id: bool | None = None
    """The work is done, but the answer has no jobId."""

    odd_case: Literal["upper", "title"] | None = None
    """Job and model statuses are written in this case."""
    unknown_status: str | None = None
    """Every job, model or video download is shown with this status, and without outputs or URL."""
    directive: Directive | None = None
    """The course of a generation or training that this request starts, where its caller sets none."""

    list_lag_s: float | None = Field(default=None, ge=0)
    """GET /jobs shows the state of this many seconds ago."""
    list_order: Literal["oldest_first", "shuffled"] | None = None
    list_repeat: int | None = Field(default=None, ge=0)
    """Each page begins with this many entries from the end of the page before."""
    list_lie: str | None = None
    """GET /jobs shows this status for every entry."""
    list_lie_fraction: float = Field(default=1.0, ge=0, le=1)
    """The share of jobs that `list_lie` applies to; always the same jobs."""
    list_omit: float | None = Field(default=None, ge=0, le=1)
    """The share of jobs that GET /jobs never shows; always the same jobs."""
    page_size: int | None = Field(default=None, gt=0)
    last_page: Literal["empty", "null"] | None = None
    """How GET /jobs marks its last page; without this, nextPageToken is missing."""

    @property
    def works(self) -> bool:
        """Whether the request does its work."""
        if self.work is not None:
            return self.work
        refusals = (self.status, self.html, self.nok_200, self.not_found, self.unauthorized, self.drop)
        return self.redirect is None and not any(refusals)


NO_FAULT = Action()
"""The action of a request that no rule fires for; compared by identity."""
