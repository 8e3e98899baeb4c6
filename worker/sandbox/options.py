"""What a sandbox is started with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.sandbox.durations import DEFAULT_DURATIONS, Law, parse_law

DEFAULT_KEY = "sandbox-key"
DEFAULT_PORT = 8900


def default_durations() -> dict[str, Law]:
    """The laws of a sandbox that nothing is said to."""
    return {kind: parse_law(text) for kind, text in DEFAULT_DURATIONS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """Everything that can be said to a sandbox at its start."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    """0 picks a free port."""
    keys: tuple[str, ...] = (DEFAULT_KEY,)
    durations: Mapping[str, Law] = field(default_factory=default_durations)
    seed: int | None = None
    """Seeds durations and the probabilities of faults; ids are always unique."""
    models: tuple[str, ...] = ()
    """Models that exist from the start, as `id` (status `new`) or `id=status`."""
    page_size: int = 50
    """Entries on a page of GET /jobs."""
    rate_limit: float | None = None
    """Requests a second, of all operations together; more are answered 429."""
    retry_after: float | None = None
    """The Retry-After header, in seconds, of the sandbox's own 429 answers."""
    max_active: int | None = None
    """Unfinished generations; a trigger beyond is answered 429."""
    max_trainings: int | None = None
    """Unfinished trainings; one beyond is answered 429."""
    strict_images: bool = False
    """Whether upscaling and inputImageId take only images that the sandbox holds."""
    strict_training_images: bool = False
    """Whether training needs 12 to 20 images of type modelInput."""
    training_jobs: bool = True
    """Whether trainings show up as jobs, as the descriptions of both job endpoints say."""
    journal: Path | None = None
    faults: Path | None = None
    """A JSON file with a list of fault rules."""
