"""Cancels the jobs whose tasks were revoked in Celery, by id or by stamp; Celery alone only drops their messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import state

from worker.domain.errors import SubmissionError
from worker.queue.continuation import read_continuation, stamps
from worker.services import Services
from worker.steps.cancel import cancel

CHECKS = 2
"""How often a revocation is applied: its message may be accepted during the first check."""


def revoked_by_stamps(stamped: Mapping[str, Any]) -> bool:
    """Return whether a task with these stamps was revoked (`revoke_by_stamped_headers`)."""
    revoked: Mapping[str, Any] = state.revoked_stamps
    return any(
        value in (maybe_list(revoked[name]) or ())
        for name, values in stamped.items()
        if name in revoked
        for value in maybe_list(values) or ()
    )


class Revocations:
    """Applies what Celery's `revoke` and `revoke_by_stamped_headers` say to jobs that were accepted."""

    def __init__(self, services: Services) -> None:
        """Start without any."""
        self._services = services
        self._checked: dict[str, int] = {}
        self._stamps: dict[str, list[Any]] = {}
        self._scans_left = 0

    def apply(self) -> None:
        """Cancel the jobs that were revoked since the last call."""
        self._cancel_ids()
        self._cancel_stamps()

    def _cancel_ids(self) -> None:
        current = set(state.revoked)
        for job_id in current:
            if self._checked.get(job_id, 0) < CHECKS:
                self._checked[job_id] = CHECKS if self._cancel(job_id) else self._checked.get(job_id, 0) + 1
        self._checked = {job_id: checked for job_id, checked in self._checked.items() if job_id in current}

    def _cancel(self, job_id: str) -> bool:
        """Cancel one job; False if there is no such job of ours."""
        try:
            cancel(self._services, job_id, revoked=True)
        except SubmissionError:
            return False
        return True

    def _cancel_stamps(self) -> None:
        current = {name: list(maybe_list(values) or ()) for name, values in list(state.revoked_stamps.items())}
        if current != self._stamps:
            self._stamps, self._scans_left = current, CHECKS
        if self._scans_left == 0:
            return
        for job_id, text in self._services.store.job_history.continuations():
            if revoked_by_stamps(stamps(read_continuation(text))):
                self._cancel(job_id)
        self._scans_left -= 1
