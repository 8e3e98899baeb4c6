"""The files of outputs: pictures, videos, playlists, and the URLs that lead to them."""

import struct
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from tests.media import probe
from tests.sandbox.conftest import Api
from tests.waiting import wait_until
from worker.sandbox.media.content import BLOCK_BYTES
from worker.sandbox.remote import SandboxControl, SandboxProcess

DONE = {"duration_s": 0}
VEO = {"veo": {"duration": 4}}


def image_url(api: Api, prompt: str = "a red and gold harbour", **directive: Any) -> str:
    """Make an image and return its URL."""
    job_id = api.image(prompt=prompt, sandbox={**DONE, **directive}).json()["result"]["jobId"]
    return str(api.job(job_id)["images"][0]["url"])


def video_of(api: Api, **directive: Any) -> Any:
    """Make a video of four seconds and return its record."""
    body = {"modelID": "veo-3.1", "prompt": "a green kite", "options": VEO, "sandbox": {**DONE, **directive}}
    return api.job(api.post("/videos/generation", body).json()["result"]["jobId"])["videos"][0]


def movie_url(api: Api, **directive: Any) -> str:
    """Make a video, prepare its file, and return the file's URL."""
    api.control.options(durations={"download": "0"})
    video_id = video_of(api, **directive)["id"]
    api.get(f"/videos/{video_id}/create-download")
    return str(api.get(f"/videos/{video_id}/download").json()["result"]["url"])


def fetch(url: str, **more: Any) -> requests.Response:
    """GET without the API key, as a download does."""
    return requests.get(url, timeout=20, **more)


def chunks(png: bytes) -> dict[bytes, bytes]:
    """Return the chunks of a PNG; a wrong checksum fails the test."""
    found: dict[bytes, bytes] = {}
    position = 8
    while position < len(png):
        (length,) = struct.unpack_from(">I", png, position)
        name, data = png[position + 4 : position + 8], png[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", png, position + 8 + length) == (zlib.crc32(name + data),)
        found[name] = data
        position += length + 12
    return found


def first_pixel(png: bytes) -> tuple[int, ...]:
    """Return the colour of the pixel at the top left."""
    parts = chunks(png)
    index = zlib.decompress(parts[b"IDAT"])[1]
    return tuple(parts[b"PLTE"][index * 3 : index * 3 + 3])


def test_an_image_is_a_png_with_the_colours_of_its_prompt(api: Api, tmp_path: Path) -> None:
    """An image's URL gives a PNG without an API key; its first pixel has the first colour that the prompt names."""
    answer = fetch(image_url(api))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert first_pixel(answer.content) == (212, 44, 40)
    (tmp_path / "image.png").write_bytes(answer.content)
    stream = probe(str(tmp_path / "image.png"))["streams"][0]
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("png", 512, 512)


def test_head_answers_without_a_body(api: Api) -> None:
    """HEAD gets the headers of GET for a file, is refused for the API, and never gets a body."""
    url = image_url(api)
    with requests.Session() as session:
        answer = session.head(url, timeout=20)
        assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(fetch(url).content)))
        assert session.head(f"{api.base_url}/models/demo/train", timeout=20).status_code == 401
        assert session.get(url, timeout=20).content == fetch(url).content


def test_every_image_differs_and_stays_the_same(api: Api) -> None:
    """Two images of one prompt have different bytes, since each shows its job; the same URL gives the same bytes."""
    first, second = image_url(api), image_url(api)
    assert fetch(first).content == fetch(first).content != fetch(second).content


@pytest.mark.parametrize(
    ("request_body", "size"),
    [
        ({"aspectRatio": "16:9"}, (512, 288)),
        ({"aspectRatio": "9:16"}, (288, 512)),
        ({"aspectRatio": "wide"}, (512, 512)),
        ({"aspectRatio": "0:1"}, (512, 512)),
        ({"width": 64, "height": 48}, (64, 48)),
        ({"width": 1, "height": 1}, (1, 1)),
        ({"width": 99999, "height": 16}, (2048, 16)),
    ],
)
def test_an_image_has_the_requested_size(api: Api, request_body: dict[str, Any], size: tuple[int, int]) -> None:
    """Width and height follow the request, or its aspect ratio, within limits."""
    job_id = api.image(sandbox=DONE, checked=False, **request_body).json()["result"]["jobId"]
    header = chunks(fetch(api.job(job_id)["images"][0]["url"]).content)[b"IHDR"]
    assert struct.unpack_from(">II", header) == size


def test_an_upscale_shows_its_source_at_twice_the_size(api: Api) -> None:
    """The upscale of an image has the colours of its source and twice its width and height."""
    source_id = urlsplit(image_url(api)).path.rpartition("/")[2].removesuffix(".png")
    body = {"imageID": source_id, "sandbox": DONE}
    job = api.job(api.post("/images/upscaling", body).json()["result"]["jobId"])
    upscaled = fetch(job["images"][0]["url"]).content
    assert first_pixel(upscaled) == (212, 44, 40)
    assert struct.unpack_from(">II", chunks(upscaled)[b"IHDR"]) == (1024, 1024)


def test_a_video_plays(api: Api, tmp_path: Path) -> None:
    """A prepared video is an MP4 that ffmpeg decodes, with the size and duration of its request."""
    answer = fetch(movie_url(api))
    assert answer.headers["Content-Type"] == "video/mp4"
    (tmp_path / "video.mp4").write_bytes(answer.content)
    found = probe(str(tmp_path / "video.mp4"))
    assert "mp4" in found["format"]["format_name"]
    assert float(found["format"]["duration"]) == 4
    assert [(stream["codec_name"], stream["width"]) for stream in found["streams"]] == [("h264", 320)]


def test_a_playlist_plays(api: Api) -> None:
    """The URL in a job's videos is an HLS playlist whose segments are there, with expiring URLs too."""
    api.control.options(media_ttl_s=60)
    url = video_of(api)["url"]
    answer = fetch(url)
    assert answer.headers["Content-Type"] == "application/vnd.apple.mpegurl"
    assert answer.text.startswith("#EXTM3U")
    found = probe(url)
    assert (found["format"]["format_name"], found["streams"][0]["codec_name"]) == ("hls", "h264")


def test_a_segment_beyond_the_end_is_not_found(api: Api) -> None:
    """A segment that the playlist does not name gets 404."""
    url = video_of(api)["url"].removesuffix(".m3u8")
    assert [fetch(f"{url}/{name}").status_code for name in ("1.m4s", "2.m4s")] == [200, 404]


def test_a_video_file_exists_once_prepared(api: Api, control: SandboxControl) -> None:
    """The MP4 of a video gets 404 until its download was requested and prepared."""
    control.options(durations={"download": "0.2"})
    video_id = video_of(api)["id"]
    url = urljoin(api.base_url, f"/media/{video_id}.mp4")
    assert fetch(url).status_code == 404
    api.get(f"/videos/{video_id}/create-download")
    assert fetch(url).status_code == 404
    wait_until(lambda: fetch(url).status_code == 200, "the file is there")


def test_other_files_are_not_found(api: Api) -> None:
    """An unknown id, another type, an unfinished or deleted image, and another method get 404."""
    url = image_url(api)
    for wrong in (url.replace("image_", "image_0"), url.replace(".png", ".mp4"), url.replace(".png", ".gif")):
        assert fetch(wrong).status_code == 404
    assert requests.post(url, timeout=20).status_code == 404
    api.delete(f"/images/{urlsplit(url).path.rpartition('/')[2].removesuffix('.png')}")
    assert fetch(url).status_code == 404


def test_a_url_expires_and_a_new_read_renews_it(api: Api, control: SandboxControl) -> None:
    """With `media_ttl_s` an old URL gets 403 and the record shows a new one; an altered URL gets 403 at once."""
    control.options(media_ttl_s=0.3)
    job_id = api.image_id(duration_s=0)

    def url() -> str:
        return str(api.job(job_id)["images"][0]["url"])

    old = url()
    assert fetch(old).status_code == 200
    wait_until(lambda: fetch(old).status_code == 403, "the URL has expired")
    assert fetch(url()).status_code == 200
    assert fetch(urlsplit(old)._replace(query="").geturl()).status_code == 403
    assert fetch(url().replace("expires=1", "expires=9")).status_code == 403


def test_urls_may_lead_to_another_host(api: Api, control: SandboxControl) -> None:
    """`media_url` sets the host of output URLs; requests for files that carry the API key are counted."""
    control.options(media_url="http://media.example:81")
    assert image_url(api).startswith("http://media.example:81/media/image_")
    control.options(media_url=None)
    url = image_url(api)
    assert control.state(lists=False)["media_with_key"] == 0
    api.session.get(url, timeout=20)
    assert control.state(lists=False)["media_with_key"] == 1


@pytest.mark.parametrize("size", [BLOCK_BYTES - 1, 3 * BLOCK_BYTES + 5, 2_000_000])
def test_an_image_may_have_any_size(api: Api, tmp_path: Path, size: int) -> None:
    """`file_bytes` pads an image to exactly this size, and it is still a valid picture."""
    content = fetch(image_url(api, file_bytes=size)).content
    assert len(content) == size
    assert first_pixel(content) == (212, 44, 40)
    (tmp_path / "image.png").write_bytes(content)
    assert probe(str(tmp_path / "image.png"))["streams"][0]["codec_name"] == "png"


def test_a_video_may_have_any_size(api: Api, tmp_path: Path) -> None:
    """`file_bytes` pads a video to exactly this size, and it still plays."""
    content = fetch(movie_url(api, file_bytes=3_000_001)).content
    assert len(content) == 3_000_001
    (tmp_path / "video.mp4").write_bytes(content)
    assert float(probe(str(tmp_path / "video.mp4"))["format"]["duration"]) == 4


def test_a_large_file_needs_no_memory(api: Api, running: SandboxProcess) -> None:
    """Sending 200 MB raises the memory of the sandbox by less than 20 MB."""
    url = image_url(api, file_bytes=200_000_000)
    before = peak_kb(running.pid)
    with fetch(url, stream=True) as answer:
        assert sum(len(piece) for piece in answer.iter_content(1 << 20)) == 200_000_000
    assert peak_kb(running.pid) - before < 20_000


def peak_kb(pid: int) -> int:
    """Return the highest memory use of a process so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])
