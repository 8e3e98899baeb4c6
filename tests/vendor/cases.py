"""What the second stand-in does: one case for each oddity, with the file that has to be stored or why it is not."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.vendor.media import HTML, JPEG, PLAYLIST, WEBP, chunked, gzipped, mp4, png
from tests.vendor.server import Case, Replies, Reply, envelope, in_turn, nok

PNG = png(1)
MP4 = mp4(1)
EMPTY = PNG[:-12] + bytes(3_000_000) + PNG[-12:]
"""A picture that compression makes a thousand times smaller."""
CHUNKED = {"Transfer-Encoding": "chunked"}
GZIP = {"Content-Encoding": "gzip"}


@dataclass(frozen=True)
class Expected:
    """A case and what follows from it."""

    case: Case
    #: The bytes that are stored, or None.
    stored: bytes | None
    #: Part of `files_error`.
    error: str = ""
    #: The end of the key.
    extension: str = ".png"


def image(name: str, *replies: Reply, url: str = "1.png", files: Mapping[str, Replies] | None = None) -> Case:
    """Return a case with one image at /NAME/URL."""
    path = f"/{name}/{url.partition('?')[0].partition('#')[0]}"
    record = {"id": f"id-{name}", "url": f"http://{{host}}/{name}/{url}"}
    others = {f"/{name}/{other}": answers for other, answers in (files or {}).items()}
    return Case(lambda _: record, {path: in_turn(*replies), **others} if replies else others)


def moved(target: str, status: int = 302) -> Reply:
    """Return a redirect."""
    return Reply(status, b"moved", {"Location": target})


def whole(content: bytes = PNG, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a file as it should be."""
    return Reply(200, content, {"Content-Type": "application/octet-stream"} | dict(headers or {}))


def video(name: str, *downloads: Reply, url: str = "movie.m3u8", at_url: bytes = PLAYLIST, **more: Any) -> Case:
    """Return a case with one video. Its record names `url`; what is prepared is at /NAME/ready.mp4."""
    record = {"id": f"id-{name}", "url": f"http://{{host}}/{name}/{url}"}
    files = {f"/{name}/{url}": in_turn(whole(at_url)), f"/{name}/ready.mp4": in_turn(whole(MP4))}
    files |= more.pop("files", {})
    return Case(lambda _: record, files, is_video=True, download=in_turn(*downloads), **more)


def prepared(name: str, path: str = "ready.mp4", *, status: Any = "ready", percent: Any = 100) -> Reply:
    """Return the answer of a download that is prepared."""
    result = {"status": status, "percentComplete": percent, "url": f"http://{{host}}/{name}/{path}"}
    return envelope(result)


def state(name: Any, percent: int = 10) -> Reply:
    """Return the answer of a download in some state, without a URL."""
    return envelope({"status": name, "percentComplete": percent, "url": ""})


def _images() -> dict[str, Expected]:
    """Return the images that are stored in the end."""
    part = {"Content-Range": f"bytes 0-{len(PNG) - 1}/{len(PNG)}"}
    encoded = "caf%C3%A9%20x%2Fy+z~.PNG"
    stored = {
        "gzip": image("gzip", Reply(200, gzipped(PNG), GZIP)),
        "gzip-chunked": image("gzip-chunked", Reply(200, chunked(gzipped(PNG)), GZIP | CHUNKED, None)),
        "deflate": image("deflate", Reply(200, zlib.compress(PNG), {"Content-Encoding": "deflate"})),
        "identity": image("identity", whole(headers={"Content-Encoding": "identity"})),
        "chunked": image("chunked", Reply(200, chunked(PNG, trailer=b"X-Sum: 1\r\n"), CHUNKED, None)),
        "no-length": image("no-length", Reply(200, PNG, {}, None, "1.0")),
        "partial-whole": image("partial-whole", Reply(206, PNG, part)),
        "early-hints": image("early-hints", Reply(200, PNG, before=b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")),
        "query": image("query", whole(), url="1?sig=a%2Fb%3D&x=1&e=ä b#top"),
        "encoded": image("encoded", url=encoded, files={encoded: in_turn(whole())}),
        "unicode": image("unicode", url="bild ü.jpg", files={"bild%20%C3%BC.jpg": in_turn(whole())}),
        "no-extension": image("no-extension", whole(), url="file"),
        "wrong-extension": image("wrong-extension", whole(), url="1.html"),
        "playlist-name": image("playlist-name", whole(), url="1.m3u8"),
        "html-type": image("html-type", whole(headers={"Content-Type": "text/html"})),
        "two-types": image("two-types", whole(headers={"Content-type": "text/plain", "Content-Disposition": "../y"})),
        "longer": image("longer", Reply(200, PNG + b"HTTP/1.1 200 OK\r\n\r\n", length=len(PNG))),
        "short-once": image("short-once", Reply(200, PNG[:900], length=len(PNG)), whole()),
        "reset-once": image("reset-once", Reply(200, PNG[:900], length=len(PNG), reset=True), whole()),
        "cut-chunks": image("cut-chunks", Reply(200, chunked(PNG)[:5000], CHUNKED, None), whole()),
        "cut-gzip": image("cut-gzip", Reply(200, gzipped(PNG)[:-20], GZIP), whole()),
        "part-once": image("part-once", Reply(206, PNG[:99], {"Content-Range": f"bytes 0-98/{len(PNG)}"}), whole()),
        "stalls-once": image("stalls-once", Reply(200, PNG[:900], length=len(PNG), hang=True), whole()),
        "busy-once": image("busy-once", Reply(503, b"busy", {"Retry-After": "1"}), whole()),
        "hops": _hops(),
        "moved-utf8": image("moved-utf8", moved("bild-ü.png", 303), files={"bild-%C3%BC.png": in_turn(whole())}),
        "moved-absolute": image("moved-absolute", moved("//{host}/moved-absolute/x"), files={"x": in_turn(whole())}),
        "many": image("many", moved("../many/./x y"), files={"x%20y": in_turn(whole())}),
    }
    found = {name: Expected(case, PNG) for name, case in stored.items()}
    found["dots"] = Expected(_dots(), PNG)
    found["webp"] = Expected(image("webp", whole(WEBP, {"Content-Type": "image/png"})), WEBP, extension=".webp")
    found["bomb"] = Expected(image("bomb", Reply(200, gzipped(EMPTY), GZIP)), EMPTY)
    found["jpeg"] = Expected(image("jpeg", whole(JPEG)), JPEG, extension=".jpg")
    return found | {f"fresh-{code}": Expected(_fresh(f"fresh-{code}", code), PNG) for code in (403, 404, 410)}


def _hops() -> Case:
    """Return a case of three redirects, all of them relative."""
    more = {"a": in_turn(moved("/hops/b", 307)), "b": in_turn(moved("?x=1#y", 308), whole())}
    return image("hops", moved("a", 301), files=more)


def _dots() -> Case:
    """Return a case whose URL has .. in its path, as it is and encoded."""
    record = {"id": "id-dots", "url": "http://{host}/dots/a/../..%2F..%2Fetc%2Fpasswd"}
    return Case(lambda _: record, {"/dots/..%2F..%2Fetc%2Fpasswd": in_turn(whole())})


def _fresh(name: str, status: int) -> Case:
    """Return a case whose first URL has expired; the record has a fresh one at its second read."""
    files = {f"/{name}/old.png": in_turn(Reply(status, b"gone")), f"/{name}/new.png": in_turn(whole())}

    def record(number: int) -> dict[str, Any]:
        return {"id": f"id-{name}", "url": f"http://{{host}}/{name}/{'new' if number else 'old'}.png"}

    return Case(record, files)


def _refused_images() -> dict[str, Expected]:
    """Return the images that are never stored."""
    loop = moved("1.png")
    refused = {
        "html": (whole(HTML.encode(), {"Content-Type": "image/png"}), "text, not a picture"),
        "html-utf16": (whole(HTML.encode("utf-16")), "text, not a picture"),
        "html-gzip": (Reply(200, gzipped(HTML.encode()), GZIP), "text, not a picture"),
        "json": (whole(b'{"status":"NOK","message":"expired"}'), "text, not a picture"),
        "playlist": (whole(PLAYLIST), "a playlist"),
        "empty": (whole(b""), "empty"),
        "no-content": (Reply(204, length=None), "empty"),
        "short": (Reply(200, PNG[:900], length=len(PNG)), f"ended after 900 of {len(PNG)} bytes"),
        "cut": (Reply(200, PNG[:900], length=None, version="1.0"), "before the end of the file"),
        "part": (Reply(206, PNG[:99], {"Content-Range": f"bytes 0-98/{len(PNG)}"}), "answered 206"),
        "part-unsaid": (Reply(206, PNG), "answered 206"),
        "brotli": (Reply(200, b"\x1b\x00\x80" * 99, {"Content-Encoding": "br"}), "Content-Encoding"),
        "false-gzip": (Reply(200, PNG, GZIP), "the download broke"),
        "loop": (loop, "redirects more than 5 times"),
        "to-ftp": (moved("ftp://{host}/x"), "not https"),
        "to-private": (moved("http://10.1.2.3/x.png"), "PHOTOGPT_OUTPUTS_ALLOW_NETWORKS"),
        "moved-nowhere": (Reply(302, b""), "redirects more than 5 times"),
        "server-error": (Reply(500, HTML.encode()), "answered 500"),
        "not-http": (Reply(200, PNG, before=b"\0\1garbage\r\n"), "the download broke"),
    }
    found = {name: Expected(image(name, reply), None, error) for name, (reply, error) in refused.items()}
    no_url = Case(lambda _: {"id": "id-no-url", "url": None})
    data_url = Case(lambda _: {"id": "id-data-url", "url": "data:image/png;base64,iVBORw0KGgo="})
    return found | {
        "no-url": Expected(no_url, None, "no URL that can be downloaded"),
        "data-url": Expected(data_url, None, "no URL that can be downloaded"),
    }


def _videos() -> dict[str, Expected]:
    """Return videos that are stored, each with the states of its download before."""
    before = {
        "v-ready": (),
        "v-states": (state("queued", 0), state("Processing", 40), state("something new", 80)),
        "v-failed-once": (state("failed"),),
        "v-download-404": (envelope(None, 404),),
        "v-download-409": (envelope(None, 409),),
        "v-download-429": (envelope(None, 429, **{"Retry-After": "1"}),),
        "v-download-500": (envelope(None, 500),),
        "v-download-html": (Reply(502, HTML.encode()),),
        "v-download-nok": (nok("not prepared yet"),),
        "v-download-null": (envelope(None),),
    }
    found = {name: video(name, *replies, prepared(name)) for name, replies in before.items()}
    creates = {
        "v-create-409": in_turn(envelope(None, 409)),
        "v-create-429": in_turn(envelope(None, 429, **{"Retry-After": "1"}), envelope("ok")),
        "v-create-500": in_turn(envelope(None, 500), envelope("ok")),
        "v-create-html": in_turn(Reply(503, HTML.encode()), envelope("ok")),
        "v-create-lost": in_turn(Reply(200, b"{", length=50), envelope("ok")),
    }
    found |= {name: video(name, prepared(name), create=create) for name, create in creates.items()}
    found["v-upper"] = video("v-upper", prepared("v-upper", status="READY"))
    found["v-complete"] = video("v-complete", prepared("v-complete", status="completed"))
    found["v-no-status"] = video("v-no-status", prepared("v-no-status", status=None))
    name = "v-named-playlist"
    found[name] = video(name, prepared(name, "x.m3u8"), files={f"/{name}/x.m3u8": in_turn(whole(MP4))})
    name = "v-create-404"
    found[name] = video(name, create=in_turn(envelope(None, 404)), url="movie.mp4", at_url=MP4)
    name = "v-redirect"
    found[name] = video(name, moved("http://{host}/v-redirect/ready.mp4"))
    found["v-bytes"] = video("v-bytes", Reply(200, MP4, {"Content-Type": "video/mp4"}))
    return {name: Expected(case, MP4, extension=".mp4") for name, case in found.items()}


def _refused_videos() -> dict[str, Expected]:
    """Return videos that are never stored."""
    disguised = {"/v-disguised/x.mp4": in_turn(whole(PLAYLIST))}
    picture = {"/v-picture/x": in_turn(whole(PNG))}
    refused = {
        "v-playlist": (video("v-playlist", prepared("v-playlist", "movie.m3u8")), "a playlist"),
        "v-disguised": (video("v-disguised", prepared("v-disguised", "x.mp4"), files=disguised), "a playlist"),
        "v-only-playlist": (video("v-only-playlist", create=in_turn(envelope(None, 404))), "a playlist"),
        "v-unknown": (video("v-unknown", state("resting")), "has not prepared"),
        "v-failed": (video("v-failed", state("failed")), "its status is 'failed'"),
        "v-no-url": (video("v-no-url", state("ready", 100)), "has not prepared"),
        "v-picture": (video("v-picture", prepared("v-picture", "x"), files=picture), "not a video"),
        "v-html": (video("v-html", Reply(200, HTML.encode())), "not JSON"),
        "v-never": (video("v-never", envelope(None, 500)), "odd 500"),
    }
    return {name: Expected(case, None, error) for name, (case, error) in refused.items()}


EXPECTED = _images() | _refused_images() | _videos() | _refused_videos()
"""Every case by its name."""
