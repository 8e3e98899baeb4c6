"""Messages that no producer should send: each is refused in a line, and harms nobody."""

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
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        """Take the file's path."""
        self._path = path

    def __reduce__(self) -> Any:
        """Tell pickle how."""
        return os.mkdir, (str(self._path),)


def test_messages_that_cannot_be_used(producer: Celery, worker: WorkerProcess, tmp_path: Path) -> None:
    """A task that does not exist, and a serializer that may run code: thrown away, and not quoted in the log."""
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
    told = worker.text()[began:]
    assert told.count("message.rejected") == 2, told
    assert "Refusing to deserialize untrusted content of type pickle" in told
    assert "not to be quoted" not in told
    assert "Traceback" not in told
    assert not (tmp_path / "harm").exists()


def test_a_record_that_is_none(producer: Celery, worker: WorkerProcess, client: redis.Redis) -> None:
    """Somebody wrote over a job's key: its message fails once, instead of coming back for ever."""
    began = len(worker.text())
    client.set("photogpt:job:{overwritten}", "no hash")

    result = producer.send_task("photogpt.generate_image", kwargs={"request": image_request()}, task_id="overwritten")

    with pytest.raises(Exception, match="WRONGTYPE"):
        result.get(timeout=30)
    assert "redis.unavailable" not in worker.text()[began:]


def test_canceling_what_is_no_job(producer: Celery, worker: WorkerProcess) -> None:
    """The caller is told; the log needs no traceback."""
    began = len(worker.text())
    for job_id in ("no job", None, {"a": 1}):
        with pytest.raises(Exception, match="there is no job"):
            producer.send_task("photogpt.cancel", args=[job_id]).get(timeout=30)
    assert "Traceback" not in worker.text()[began:]
