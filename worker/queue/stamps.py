"""Celery's stamps: headers by which many tasks can be revoked together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import state


def revoked_by_stamps(stamps: Mapping[str, Any]) -> bool:
    """Return whether a task with these stamps was revoked (`revoke_by_stamped_headers`)."""
    revoked: Mapping[str, Any] = state.revoked_stamps
    return any(
        value in (maybe_list(revoked[name]) or ())
        for name, values in stamps.items()
        if name in revoked
        for value in maybe_list(values) or ()
    )
