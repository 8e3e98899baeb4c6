"""A directive sets the course of one generation: its duration, its statuses on the way, and how it ends."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.sandbox.state.records import Kind, Stages

SUCCESS_STATUS: dict[Kind, str] = {
    "image": "success",
    "upscale": "success",
    "video": "success",
    "training": "ready",
}

_JOB_STATUSES = ((0.0, "created"), (0.05, "queued"), (0.2, "running"))
_TRAINING_STATUSES = ((0.0, "training"), (0.5, "processing"))


class Directive(BaseModel):
    """The `sandbox` object of a trigger body, of a model's control request, and of a fault's `directive`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    duration_s: float | None = Field(default=None, ge=0)
    end: str | None = None
    """`success` or `failed` (for training `ready`, `failed`, `new`), any other word, or `never`."""
    error: str | None = None
    """The reason of failure; alone it means `end` is `failed`."""
    statuses: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The unfinished statuses, in equal shares of the duration."""
    outputs: int | None = Field(default=None, ge=0)
    """The number of images or videos made, whatever the request asks for."""
    credits: float | None = None
    file_bytes: int | None = Field(default=None, ge=0)
    """The size of each file, padded to exactly this many bytes; the smallest files have some 5 kB."""

    def with_defaults(self, other: "Directive") -> "Directive":
        """Return this directive, with fields it leaves open taken from another."""
        return Directive(**{**other.model_dump(exclude_none=True), **self.model_dump(exclude_none=True)})

    def stages(self, kind: Kind, duration_s: float) -> Stages:
        """Return the statuses to pass through, each with its offset in seconds from the trigger."""
        unfinished = tuple((share * duration_s, status) for share, status in self._shares(kind))
        return unfinished if self.endless else (*unfinished, (duration_s, self.final_status(kind)))

    @property
    def endless(self) -> bool:
        """Whether the generation never ends."""
        return self.end == "never"

    def final_status(self, kind: Kind) -> str:
        """Return the last status."""
        return self.end or ("failed" if self.error else SUCCESS_STATUS[kind])

    def _shares(self, kind: Kind) -> tuple[tuple[float, str], ...]:
        if self.statuses is not None:
            return tuple((i / len(self.statuses), status) for i, status in enumerate(self.statuses))
        return _TRAINING_STATUSES if kind == "training" else _JOB_STATUSES


NO_DIRECTIVE = Directive()


def parse_directive(value: Any) -> Directive:
    """Parse a directive.

    Raises:
        ValueError: the value is not a directive; the message names the field.
    """
    if value is None:
        return NO_DIRECTIVE
    try:
        return Directive.model_validate(value)
    except ValidationError as error:
        raise ValueError(first_error(error)) from None


def first_error(error: ValidationError) -> str:
    """Return pydantic's first error in one line, with the field's path in front."""
    detail = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else detail["msg"]
