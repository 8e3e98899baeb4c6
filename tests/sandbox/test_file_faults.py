"""What can go wrong with a download: each fault has its effect over HTTP."""

from typing import Any

import pytest
import requests

from tests.sandbox.conftest import Api
from tests.sandbox.test_files import DONE, fetch, image_url, movie_url, video_of
from worker.sandbox.remote import SandboxControl


def fault(control: SandboxControl, match: str, /, **action: Any) -> None:
    """Set a fault that applies to one request."""
    control.faults({"match": match, "count": 1, "action": action})


@pytest.mark.parametrize("code", [403, 404, 410, 503])
def test_an_error_instead_of_a_file(api: Api, control: SandboxControl, code: int) -> None:
    """A file can be refused with any code, and is there for the next request."""
    url = image_url(api)
    fault(control, "mediaImage", status=code)
    assert [fetch(url).status_code for _ in range(2)] == [code, 200]


def test_a_page_instead_of_a_file(api: Api, control: SandboxControl) -> None:
    """A proxy's HTML page under 200 can stand in for a file, and any Content-Type can be set."""
    url = image_url(api)
    fault(control, "media*", html=200)
    assert fetch(url).content.startswith(b"<!DOCTYPE html>")
    fault(control, "media*", content_type="text/plain")
    assert fetch(url).headers["Content-Type"] == "text/plain"


def test_a_short_body(api: Api, control: SandboxControl) -> None:
    """Half of a file arrives although its Content-Length promises all of it."""
    url = image_url(api, file_bytes=300_000)
    fault(control, "mediaImage", reset_half_body=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="150000 bytes read, 150000 more expected"):
        fetch(url)


def test_a_short_body_that_no_header_betrays(api: Api, control: SandboxControl) -> None:
    """Half of a file arrives, without a Content-Length, and the connection closes as if it were all."""
    url = image_url(api, file_bytes=300_000)
    fault(control, "mediaImage", reset_half_body=True, without_length=True)
    answer = fetch(url)
    assert ("Content-Length" in answer.headers, len(answer.content)) == (False, 150_000)


@pytest.mark.parametrize("size", [0, 300_000])
def test_a_body_in_chunks(api: Api, control: SandboxControl, size: int) -> None:
    """A file sent in chunks arrives complete; cut in half, the missing last chunk is an error."""
    url = image_url(api, file_bytes=size)
    fault(control, "mediaImage", chunked=True)
    assert fetch(url).content == fetch(url).content
    fault(control, "mediaImage", chunked=True, reset_half_body=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        fetch(url)


@pytest.mark.parametrize("framing", [{}, {"chunked": True}])
def test_an_endless_body(api: Api, control: SandboxControl, framing: dict[str, bool]) -> None:
    """A file goes on for ever after its last byte, until the client closes the connection."""
    url = image_url(api)
    content = fetch(url).content
    fault(control, "mediaImage", endless=True, **framing)
    with fetch(url, stream=True) as answer:
        assert "Content-Length" not in answer.headers
        assert answer.raw.read(len(content) + 5_000_000) == content + bytes(5_000_000)
    assert fetch(url).content == content


def test_a_stalled_body(api: Api, control: SandboxControl) -> None:
    """A file stops in the middle with the connection open, until the client gives up."""
    url = image_url(api, file_bytes=300_000)
    fault(control, "mediaImage", stall_after=100_000)
    with requests.get(url, stream=True, timeout=0.3) as answer:
        assert len(answer.raw.read(100_000)) == 100_000
        with pytest.raises((requests.ConnectionError, TimeoutError)):
            next(answer.iter_content(1))
    assert fetch(url).status_code == 200


def test_a_slow_body(api: Api, control: SandboxControl) -> None:
    """A file sent at a given rate arrives complete, in more than one piece."""
    url = image_url(api, file_bytes=20_000)
    fault(control, "mediaImage", bytes_per_s=100_000)
    with fetch(url, stream=True) as answer:
        assert 0 < len(answer.raw.read1()) < 20_000
    fault(control, "mediaImage", bytes_per_s=200_000)
    assert len(fetch(url).content) == 20_000


@pytest.mark.parametrize(
    ("action", "code", "location"),
    [
        ({"redirect": "http://10.0.0.1/{id}.png"}, 302, "http://10.0.0.1/image_"),
        ({"redirect": "/media/{id}.png", "status": 307}, 307, "/media/image_"),
    ],
)
def test_a_redirect(api: Api, control: SandboxControl, action: dict[str, Any], code: int, location: str) -> None:
    """A file can redirect to any address, a private one too, with any code."""
    url = image_url(api)
    fault(control, "mediaImage", **action)
    answer = fetch(url, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"].startswith(location)) == (code, True)
    fault(control, "mediaImage", redirect="/media/{id}.png")
    assert fetch(url).content == fetch(url).content


def test_a_video_that_is_a_playlist(api: Api, control: SandboxControl) -> None:
    """The download of a video can lead to its playlist, as the vendor's sample URL does."""
    url = movie_url(api)
    fault(control, "mediaVideo", redirect="/media/{id}.m3u8")
    assert fetch(url).text.startswith("#EXTM3U")


@pytest.mark.parametrize("status", ["preparing", "failed"])
def test_a_download_that_is_never_ready(api: Api, control: SandboxControl, status: str) -> None:
    """The preparation of a video can stay in any state, without a URL."""
    control.options(durations={"download": "0"})
    video_id = video_of(api)["id"]
    api.get(f"/videos/{video_id}/create-download")
    control.faults({"match": "getVideoDownload", "action": {"unknown_status": status}})
    result = api.get(f"/videos/{video_id}/download").json()["result"]
    assert (result["status"], "url" in result) == (status, False)


def test_every_file_of_some_requests_has_a_size(api: Api, control: SandboxControl) -> None:
    """A rule for triggers can set the size of all files that follow."""
    control.faults({"match": "trigger*", "action": {"directive": {"file_bytes": 77_777, **DONE}}})
    job = api.job(api.image(sandbox=None).json()["result"]["jobId"])
    assert len(fetch(job["images"][0]["url"]).content) == 77_777
