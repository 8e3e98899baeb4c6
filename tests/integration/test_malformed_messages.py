"""Messages that no producer should send: each is refused with one log line, and others are not affected."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.conftest import image_request
from tests.running import WorkerProcess


class Harm:
    """Creates a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        """Take the directory's path."""
        self._path = path

    def __reduce__(self) -> Any:
        """Return what pickle calls."""
        return os.mkdir, (str(self._path),)


def test_messages_that_cannot_be_used(producer: Celery, worker: WorkerProcess, tmp_path: Path) -> None:
    """An unknown task and a pickled message are discarded; the log does not quote them."""
    began = len(worker.text())
    request = image_request() | {"prompt": "a prompt not to be quoted"}
    producer.conf.task_serializer = "pickle"  # else its own kombu does not send it
    kwargs = {"request": request, "metadata": {"harm": Harm(tmp_path / "harm")}}
    producer.send_task("photogpt.generate_image", kwargs=kwargs, serializer="pickle")
    misspelt = producer.send_task("photogpt.generate_imgae", kwargs={"request": request}, serializer="json")
    sound = producer.send_task("photogpt.generate_image", kwargs={"request": request}, serializer="json")

    assert sound.get(timeout=30)["state"] == "succeeded"
    with pytest.raises(Exception, match=r"photogpt\.generate_imgae"):
        misspelt.get(timeout=30)
    log = worker.text()[began:]
    assert log.count("message.rejected") == 2, log
    assert "Refusing to deserialize untrusted content of type pickle" in log
    assert "not to be quoted" not in log
    assert "Traceback" not in log
    assert not (tmp_path / "harm").exists()


def test_an_overwritten_record(producer: Celery, worker: WorkerProcess, client: redis.Redis) -> None:
    """A message whose job's key holds something else fails once, instead of coming back for ever."""
    began = len(worker.text())
    client.set("photogpt:job:{overwritten}", "no hash")

    result = producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}, task_id="overwritten")

    with pytest.raises(Exception, match="WRONGTYPE"):
        result.get(timeout=30)
    assert "redis.unavailable" not in worker.text()[began:]


def test_canceling_an_unknown_job(producer: Celery, worker: WorkerProcess) -> None:
    """Canceling an unknown job raises in the caller, and logs no traceback."""
    began = len(worker.text())
    for job_id in ("no job", None, {"a": 1}):
        with pytest.raises(Exception, match="there is no job"):
            producer.send_task("photogpt.cancel", args=[job_id]).get(timeout=30)
    assert "Traceback" not in worker.text()[began:]
