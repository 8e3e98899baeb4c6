"""What a caller wishes for one generation: its duration, its statuses on the way, and how it ends."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.sandbox.world import Kind, Stages

GOOD_END: dict[Kind, str] = {
    "image": "success",
    "upscale": "success",
    "video": "success",
    "training": "ready",
}

_JOB_STATUSES = ((0.0, "created"), (0.05, "queued"), (0.2, "running"))
_TRAINING_STATUSES = ((0.0, "training"), (0.5, "processing"))


class Wish(BaseModel):
    """The `sandbox` object of a trigger body, of a model's control request, and of a fault's `wish`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    duration_s: float | None = Field(default=None, ge=0)
    end: str | None = None
    """`success` or `failed` (for training `ready`, `failed`, `new`), any other word, or `never`."""
    error: str | None = None
    """The reason of failure; alone it means `end` is `failed`."""
    statuses: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The unfinished statuses, in equal shares of the duration."""
    outputs: int | None = Field(default=None, ge=0)
    """How many images or videos come out, whatever was asked for."""
    credits: float | None = None

    def over(self, other: "Wish") -> "Wish":
        """This wish, with what it leaves open taken from another."""
        return Wish(**{**other.model_dump(exclude_none=True), **self.model_dump(exclude_none=True)})

    def stages(self, kind: Kind, duration_s: float) -> Stages:
        """The statuses to pass through, each with its offset in seconds from the trigger."""
        on_the_way = tuple((share * duration_s, status) for share, status in self._shares(kind))
        return on_the_way if self.endless else (*on_the_way, (duration_s, self.ends_as(kind)))

    @property
    def endless(self) -> bool:
        """Whether no end is wished."""
        return self.end == "never"

    def ends_as(self, kind: Kind) -> str:
        """The last status."""
        return self.end or ("failed" if self.error else GOOD_END[kind])

    def _shares(self, kind: Kind) -> tuple[tuple[float, str], ...]:
        if self.statuses is not None:
            return tuple((i / len(self.statuses), status) for i, status in enumerate(self.statuses))
        return _TRAINING_STATUSES if kind == "training" else _JOB_STATUSES


NO_DIRECTIVE = Wish()


def parse_directive(value: Any) -> Wish:
    """Reads a wish; what is none is a ValueError that names the field."""
    if value is None:
        return NO_DIRECTIVE
    try:
        return Wish.model_validate(value)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None


def first_fault(error: ValidationError) -> str:
    """The first complaint of pydantic in one line."""
    detail = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}" if where else detail["msg"]
