"""The lanes: what waits for a due time, by the step that comes next."""

from __future__ import annotations

from enum import StrEnum

SOON_S = 2.5
"""A tick that is due within this time is no message. A poll after the interval of 5 s is one, with a countdown."""


class Lane(StrEnum):
    """A sorted set of ids by due time, with a loop of its own, so that no lane delays another."""

    TRIGGERS = "triggers"  # jobs to trigger
    JOBS = "jobs"  # generations to poll
    MODELS = "models"  # models in training to poll
    LIST_POLLS = "list_polls"  # the list poll
    RESULTS = "results"  # ended jobs whose Celery result is not stored yet
    DELIVERIES = "deliveries"  # webhooks without an attempt
    REDELIVERIES = "redeliveries"  # webhooks to retry: a dead endpoint delays no first attempt
    FILES = "files"  # jobs whose images and videos are to be stored
