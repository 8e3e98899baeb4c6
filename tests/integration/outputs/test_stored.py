"""Every image and video is stored once, in a folder and in an S3 bucket, after the end of a job or before it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery import chain

from tests.integration.metrics.conftest import Served, grown
from tests.integration.otlp import Collector, Span
from tests.integration.outputs.conftest import Line
from tests.media import probe
from tests.running import Receiver, keys
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess


def events_of(line: Line, job_id: str) -> list[str]:
    """Return the types of a job's events."""
    entries: Any = line.client.xrange(keys.events(job_id))
    return [fields["type"] for _, fields in entries]


def test_images_in_a_folder(sandbox: SandboxProcess, folder_line: Line, receiver: Receiver) -> None:
    """A job ends at once, its images follow under keys that no tenant can leave, and a webhook brings the files."""
    line = folder_line
    job = line.send("image", request={"numImages": 2}, tenant="../x", webhook_url=receiver.url)
    ended = line.outcome(job)
    files = line.wait_for_files(job)

    assert (ended["state"], ended["files"], ended["files_error"]) == ("succeeded", [], None)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert [each["key"] for each in files] == [f"=2E.=2Fx/{today}/{job}/{number}.png" for number in (1, 2)]
    assert [each["content_type"] for each in files] == ["image/png"] * 2
    assert [each["source_url"] for each in files] == [each["url"] for each in ended["images"]]
    line.check(files)
    assert events_of(line, job)[-2:] == ["job.succeeded", "job.stored"]
    wait_until(lambda: len(receiver.requests) == 2, "both webhooks have arrived")
    bodies = {each.json["type"]: each.json for each in receiver.requests}
    assert bodies["job.succeeded"]["data"]["files"] == []
    assert bodies["job.stored"]["data"]["files"] == files
    assert (bodies["job.succeeded"]["sequence"], bodies["job.stored"]["sequence"]) == (4, 5)


def test_a_video_is_a_video(sandbox: SandboxProcess, folder_line: Line, tmp_path: Path) -> None:
    """The file of a video comes from the two steps of its download: an MP4 that opens, not the playlist."""
    job = folder_line.send("video")
    [stored] = folder_line.wait_for_files(job)

    assert stored["content_type"] == "video/mp4"
    assert stored["key"].endswith("/1.mp4")
    assert stored["source_url"].endswith(".mp4")
    folder_line.check([stored])
    assert sandbox.control.state()["requests"]["createVideoDownload"] == 1
    movie = tmp_path / "movie.mp4"
    movie.write_bytes(folder_line.stored()[stored["key"]])
    assert [stream["codec_name"] for stream in probe(str(movie))["streams"]] == ["h264"]


def test_transfers_are_measured(sandbox: SandboxProcess, s3_line: Line, s3_metrics: Served, spans: Collector) -> None:
    """Metrics count a file that is stored, with its bytes, and one that breaks; each has a span in the trace."""
    before = s3_metrics.samples()
    sandbox.control.faults([{"match": "mediaImage", "count": 1, "action": {"status": 500}}])
    job = s3_line.send("image")
    [stored] = s3_line.outcome(job)["files"]
    after = s3_metrics.samples()
    assert grown(before, after, "file_transfers_total", outcome="stored") == 1
    assert grown(before, after, "file_transfers_total", outcome="download_failed") == 1
    assert grown(before, after, "file_transfer_duration_seconds_count") == 2
    assert grown(before, after, "file_stored_bytes_total") == stored["bytes"]

    def transfers() -> list[Span]:
        return [span for span in spans.spans if span.name == "store file" and span.attributes["photogpt.job.id"] == job]

    wait_until(lambda: len(transfers()) == 2, "both spans arrive")
    broken, whole = sorted(transfers(), key=lambda span: span.started_at)
    assert (broken.failed, broken.attributes["photogpt.file.outcome"]) == (True, "download_failed")
    assert (whole.failed, whole.attributes["photogpt.file.bytes"]) == (False, stored["bytes"])
    assert whole.trace in {span.trace for span in spans.spans if span.name == "process photogpt.generate_image"}


def test_files_in_a_bucket_before_the_end(sandbox: SandboxProcess, s3_line: Line, spans: Collector) -> None:
    """With `before`, the Celery result has the files, and what is read back from S3 has their hashes."""
    image, video = s3_line.send("image"), s3_line.send("video")
    for job in (image, video):
        ended = s3_line.outcome(job)
        assert (ended["state"], len(ended["files"]), ended["files_error"]) == ("succeeded", 1, None)
        assert (ended["reason"], ended["error"]) == (None, None)
        s3_line.check(ended["files"])
        assert events_of(s3_line, job)[-1] == "job.succeeded"
        assert "job.stored" not in events_of(s3_line, job)
    names = {"GET /videos/{id}/create-download", "GET /videos/{id}/download"}  # no id is in the name of a span
    wait_until(lambda: names <= {span.name for span in spans.spans}, "the video's requests have spans")


def test_a_chain_goes_on_from_the_image(sandbox: SandboxProcess, s3_line: Line) -> None:
    """An upscale at the end of a chain takes the image's id from the outcome, which also has files."""
    request = {"modelID": "nanobanana", "prompt": "a quiet harbour"}
    app = s3_line.producer
    made: Any = chain(
        app.signature("photogpt.generate_image", kwargs={"request": request}),
        app.signature("photogpt.upscale_image", kwargs={"request": {}}),
    ).apply_async()
    upscaled = made.get(timeout=40)
    assert upscaled["state"] == "succeeded"
    first = made.parent.get(timeout=10)
    [upscale] = sandbox.control.generations(kind="upscale")
    assert upscale["request"]["imageID"] == first["images"][0]["id"]
    assert upscaled["files"][0]["sha256"] != first["files"][0]["sha256"]
    s3_line.check(upscaled["files"] + first["files"])


def test_a_large_file_in_parts(sandbox: SandboxProcess, s3_line: Line) -> None:
    """A file that is larger than a part goes up in parts, and is one whole object afterwards."""
    job = s3_line.send("image", sandbox={"file_bytes": 20_000_000})
    [stored] = s3_line.outcome(job)["files"]
    assert stored["bytes"] == 20_000_000
    s3_line.check([stored])


def test_the_second_job_with_an_idempotency_key_has_the_same_files(sandbox: SandboxProcess, folder_line: Line) -> None:
    """Two jobs with one idempotency key have the same files, which are stored once."""
    first, second = (folder_line.send("image", idempotency_key="twice") for _ in range(2))
    files = [folder_line.wait_for_files(job) for job in (first, second)]
    assert files[0] == files[1]
    assert sandbox.control.state()["requests"]["mediaImage"] == 1
