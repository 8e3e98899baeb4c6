"""Fits a worker to the number of files that it may open."""

from __future__ import annotations

import resource

from config.settings import Settings
from worker.telemetry.logs import event

WANTED = 65_536
"""Files; a limit is raised to this where the system allows it."""

MIN_FILES = 32
"""With fewer, Redis, the broker and PhotoGPT cannot all be connected to. A worker has 17 open when it is ready."""

FILES_PER_CALL = 8
"""Of one call at a time in each lane: five lanes have PHOTOGPT_CALL_CONCURRENCY threads, and these use Redis, too."""


def fit_open_files(settings: Settings) -> Settings:
    """Return the settings with as many calls at a time as the limit of open files allows.

    Raises:
        SystemExit: the limit is too low for any work.
    """
    limit = raised_limit()
    if limit < MIN_FILES:
        text = f"the worker cannot work: it may open {limit} files and needs {MIN_FILES}; raise the limit (ulimit -n)"
        event("worker.refused", text, warn=True, limit=limit)
        raise SystemExit(1)
    calls = max(1, (limit - MIN_FILES) // FILES_PER_CALL)
    if calls >= settings.call_concurrency:
        return settings
    text = (
        f"the limit of {limit} open files allows {calls} calls at a time in each lane instead of "
        f"{settings.call_concurrency} (PHOTOGPT_CALL_CONCURRENCY); raise it (ulimit -n)"
    )
    event("resources.limited", text, warn=True, limit=limit, calls=calls)
    return settings.model_copy(update={"call_concurrency": calls})


def raised_limit() -> int:
    """Return the number of files that this process may open, after raising it as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return WANTED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
