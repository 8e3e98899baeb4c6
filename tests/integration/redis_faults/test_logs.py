"""An outage that libraries log again and again, with tracebacks, is one line in the worker's log."""

from __future__ import annotations

import subprocess
import sys

LOGS = """
import logging, warnings
from celery import signals
from celery.exceptions import BackendStoreError
from redis.exceptions import OutOfMemoryError, ResponseError
import worker.queue.app
signals.setup_logging.send(None)
for logger in ("kombu.transport.redis", "celery.worker.consumer", "some.library"):
    for error in (OutOfMemoryError("no room"), ResponseError("WRONGTYPE")):
        try:
            raise error
        except Exception:
            logging.getLogger(logger).warning("it failed", exc_info=True)
logging.captureWarnings(True)
for error in (OutOfMemoryError("no room"), BackendStoreError("not stored")):
    error.__cause__ = OutOfMemoryError("no room")
    try:
        raise error
    except Exception:
        warnings.warn(RuntimeWarning(f"Exception raised outside body: {error!r} Traceback"))
"""


def test_an_outage_is_one_line() -> None:
    """An outage is one line, whichever library logs it; every other error keeps its traceback."""
    ran = subprocess.run([sys.executable, "-c", LOGS], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stderr.count("redis.unavailable") == 1, ran.stderr
    assert ran.stderr.count("Traceback") == 3, ran.stderr
    assert "OutOfMemoryError" not in ran.stderr
