"""The outage of the storage as this process sees it: a few lines in the log, however many files wait."""

from __future__ import annotations

from worker.telemetry.outage import Outage

MIN_RETRY_S, MAX_RETRY_S = 1.0, 15.0

storage_outage = Outage(
    "outputs.unavailable",
    "outputs.recovered",
    message="no file can be stored; jobs end without their files, which follow. Check PHOTOGPT_OUTPUTS",
    recovered="files are stored again",
)


def retry_after_s(*, random_fraction: float) -> float:
    """Return the seconds until the storage is tried again: a quarter of the outage so far.

    Args:
        random_fraction: 0 to 1, for a jitter of a quarter.
    """
    return min(MAX_RETRY_S, max(MIN_RETRY_S, storage_outage.lasts_s / 4)) * (0.75 + random_fraction / 4)
