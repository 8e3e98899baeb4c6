"""The options of a sandbox."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.sandbox.faults.durations import DEFAULT_DURATIONS, Distribution, parse_distribution

DEFAULT_KEY = "sandbox-key"
DEFAULT_PORT = 8900


def default_durations() -> dict[str, Distribution]:
    """Return the default distribution of each kind."""
    return {kind: parse_distribution(text) for kind, text in DEFAULT_DURATIONS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """The options that a sandbox starts with."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    """0 picks a free port."""
    keys: tuple[str, ...] = (DEFAULT_KEY,)
    durations: Mapping[str, Distribution] = field(default_factory=default_durations)
    seed: int | None = None
    """Seeds durations and the probabilities of faults; ids are always unique."""
    models: tuple[str, ...] = ()
    """Models to create at start, as `id` (status `new`) or `id=status`."""
    page_size: int = 50
    """Entries on a page of GET /jobs."""
    rate_limit: float | None = None
    """Requests a second, all operations together; more are answered 429."""
    retry_after: float | None = None
    """The Retry-After header, in seconds, of the sandbox's own 429 answers."""
    max_active: int | None = None
    """Unfinished generations; a trigger above this number is answered 429."""
    max_trainings: int | None = None
    """Unfinished trainings; a trigger above this number is answered 429."""
    strict_images: bool = False
    """Whether upscaling and inputImageId accept only images that the sandbox knows."""
    strict_training_images: bool = False
    """Whether training needs 12 to 20 images of type modelInput."""
    training_jobs: bool = True
    """Whether trainings appear as jobs, as PhotoGPT describes for both job endpoints."""
    media_url: str | None = None
    """The start of output URLs, such as `http://media.example:8900`; without it, the host that each request names."""
    media_ttl_s: float | None = None
    """Seconds for which an output's URL works; each read of a record gives a new one. Without it, for ever."""
    journal: Path | None = None
    faults: Path | None = None
    """A JSON file with a list of fault rules."""
