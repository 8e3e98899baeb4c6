"""What a worker does when the system gives it no more threads or open files: it goes on with what it has."""

from __future__ import annotations

import errno

from worker.telemetry.outage import Outage

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Errors that say that this process or machine has run out of something."""

QUIET_S = 10.0  # some calls succeed during a shortage

threads = Outage(
    "threads.exhausted",
    "threads.recovered",
    message="no further thread can start; the worker goes on with those it has. Raise its limit (ulimit -u, pids.max)",
    recovered="threads start again",
    quiet_s=QUIET_S,
)

resources = Outage(
    "resources.exhausted",
    "resources.recovered",
    message="the worker lacks open files or memory and repeats what fails. Raise its limit (ulimit -n)",
    recovered="open files and memory suffice again",
    quiet_s=QUIET_S,
)


def is_shortage(error: BaseException | None) -> bool:
    """Return whether an error, or one that caused it, says that the worker has run out of something."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in SHORTAGES):
            return True
        if type(error) is RuntimeError and "new thread" in str(error):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
