"""The client of PhotoGPT's HTTP API: a few calls, each with a deadline and without retries."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import requests

from worker import __version__
from worker.domain.durations import seconds_between
from worker.domain.errors import MissingGenerationId, Refused, Unavailable
from worker.domain.job import JsonObject, Kind
from worker.domain.reason import Reason
from worker.http.adapter import BoundedAdapter, bounded_session
from worker.http.deadline import call_within, read_bounded
from worker.http.errors import AnswerTooLarge
from worker.http.headers import parse_http_date
from worker.photogpt.answers import DownloadStatus, connection_error, read_answer, read_download, text_of
from worker.photogpt.listing import Listing
from worker.photogpt.measured import Measured
from worker.telemetry import traces
from worker.telemetry.labels import Operation
from worker.telemetry.spans import SpanKind

if TYPE_CHECKING:
    from config.settings import Settings

API_VERSION = "1"  # docs/getting-started: on every request
TRIGGERS = {
    Kind.IMAGE: "/images/generation",
    Kind.UPSCALE: "/images/upscaling",
    Kind.VIDEO: "/videos/generation",
}


UNFINISHED = frozenset({"created", "queued", "running"})  # docs/jobs
UNTRAINED = frozenset({"new", "training"})  # docs/models says "typical", so there may be others
TRAINING_FAILED = frozenset({"failed", "error"})  # not documented, but unmistakable


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationStatus:
    """The answer of GET /jobs/{id}. `status` is in lower case, as in the vendor's sample (docs/jobs)."""

    status: str
    images: tuple[JsonObject, ...] = ()
    videos: tuple[JsonObject, ...] = ()
    error: str | None = None
    model_id: str | None = None
    #: Seconds from the generation's creation to its first output's, by PhotoGPT's clock.
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelStatus:
    """The answer of GET /models/{id}. `status` is in lower case."""

    status: str
    updated_at: str | None = None
    error: str | None = None

    @property
    def fingerprint(self) -> str:
        """A text that changes when the model does."""
        return json.dumps([self.status, self.updated_at])


class PhotoGPT:
    """The API over kept-alive connections. Every method raises `ApiError` on an error answer or none."""

    def __init__(self, settings: Settings) -> None:
        """Take address, key and limits from the settings. A connection opens with the first call."""
        self._base = settings.base_url
        self._host = urlsplit(self._base).hostname or ""
        self._timeout = (settings.api_connect_timeout_s, settings.api_read_timeout_s)
        self._deadline_s = settings.api_call_deadline_s
        self._max_bytes = settings.api_max_answer_bytes
        self._max_idle_s = settings.api_max_idle_s
        self._adapter = BoundedAdapter(ca_file=settings.api_ca_file, connections=4 * settings.call_concurrency, pools=4)
        proxy = settings.api_proxy_url.get_secret_value() if settings.api_proxy_url else None
        self._proxies = {"http": proxy, "https": proxy} if proxy else None
        self._session = bounded_session({"http://": self._adapter, "https://": self._adapter})
        self._last_date: tuple[str, float] | None = None
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._session.headers = {
            "Authorization": f"Bearer {key}",
            "API-Version": API_VERSION,
            "User-Agent": f"photogpt-worker/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
        }

    def trigger(self, kind: Kind, request: JsonObject) -> str | None:
        """Start a generation and return its id, or None for a training. May cost credits.

        Raises:
            ApiError: `definite` is true if certainly nothing was created.
            MissingGenerationId: PhotoGPT accepted the trigger but returned no id.
        """
        with Measured(Operation.TRIGGER):
            if kind is Kind.TRAINING:
                self._call("GET", f"/models/{_segment(request['modelID'])}/train")
                return None
            result = self._call("POST", TRIGGERS[kind], body=request)
            generation_id = result.get("jobId") if isinstance(result, dict) else None
            if not generation_id or type(generation_id) not in {str, int}:  # not usable as an id
                raise MissingGenerationId("PhotoGPT answered OK without a jobId", status=200)
            return str(generation_id)

    def generation(self, generation_id: str) -> GenerationStatus:
        """Return the status of a generation."""
        with Measured(Operation.GENERATION):
            result = self._call("GET", f"/jobs/{_segment(generation_id)}")
            if not isinstance(result, dict) or not isinstance(result.get("status"), str):
                raise Unavailable("PhotoGPT's answer has no status of the generation", status=200)
            if str(result.get("jobId") or generation_id) != generation_id:
                raise Unavailable("PhotoGPT's answer is about another generation", status=200)
        images, videos = _records(result.get("images")), _records(result.get("videos"))
        first = next(iter(images + videos), {})
        return GenerationStatus(
            status=result["status"].strip().lower(),
            images=images,
            videos=videos,
            error=text_of(result.get("error") or result.get("errorMessage")),
            model_id=text_of(result.get("modelId")),
            duration_s=seconds_between(result.get("createdAt"), first["createdAt"]) if "createdAt" in first else None,
        )

    def model(self, model_id: str) -> ModelStatus:
        """Return the status of a model."""
        with Measured(Operation.MODEL):
            result = self._call("GET", f"/models/{_segment(model_id)}")
            if not isinstance(result, dict) or not isinstance(result.get("status"), str):
                raise Unavailable("PhotoGPT's answer has no status of the model", status=200)
        return ModelStatus(
            status=result["status"].strip().lower(),
            updated_at=text_of(result.get("updatedAt")),
            error=text_of(result.get("error") or result.get("errorMessage")),
        )

    def image_url(self, image_id: str) -> str | None:
        """Return the URL in the record of an image."""
        with Measured(Operation.FILE):
            result = self._call("GET", f"/images/{_segment(image_id)}")
        return text_of(result.get("url")) if isinstance(result, dict) else None

    def create_download(self, video_id: str) -> None:
        """Ask PhotoGPT to prepare the file of a video. A GET that changes state: it is not repeated here."""
        with Measured(Operation.FILE):
            self._call("GET", f"/videos/{_segment(video_id)}/create-download")

    def download(self, video_id: str) -> DownloadStatus:
        """Return whether the file of a video is prepared, and its URL.

        It is the URL of this call if PhotoGPT answers with the file or with a redirect. Neither is documented.
        """
        path = f"/videos/{_segment(video_id)}/download"
        url = f"{self._base}{path}"
        with Measured(Operation.FILE):
            try:
                status: DownloadStatus = self._call("GET", path, read=partial(read_download, url))
            except Unavailable as error:
                if not isinstance(error.__cause__, AnswerTooLarge):
                    raise
                return DownloadStatus("ready", url)
        return status

    def pages_between(self, start: float, end: float) -> Listing:
        """Return an iterator over pages of the generations created between two times (epoch seconds)."""
        return Listing(self._list, start, end)

    def ping(self) -> None:
        """Check the key, the version header and the connection."""
        with Measured(Operation.PING):
            self._call("GET", "/ping")

    def clock_offset_s(self, at: float) -> float | None:
        """Return the seconds by which PhotoGPT's clock is ahead, from the Date of its latest answer; None without one.

        Args:
            at: the time now, epoch seconds, by the clock to compare with.
        """
        if self._last_date is None:
            return None
        text, received = self._last_date
        date = parse_http_date(text)
        return None if date is None else date + (time.monotonic() - received) - at

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _list(self, query: dict[str, str]) -> JsonObject:
        with Measured(Operation.LIST):
            result = self._call("GET", "/jobs", query=query)
            if not isinstance(result, dict) or not isinstance(result.get("jobs"), list):
                raise Unavailable("PhotoGPT's answer has no list of jobs", status=200)
            return result

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: JsonObject | None = None,
        query: dict[str, str] | None = None,
        read: Callable[[int, Mapping[str, str], bytes], Any] = read_answer,
    ) -> Any:
        attributes = {"http.request.method": method, "url.template": _route(path), "server.address": self._host}
        with traces.span(f"{method} {_route(path)}", SpanKind.CLIENT, attributes) as span:
            status, headers, content = self._exchange(method, path, body, query)
            span.set({"http.response.status_code": status})
            return read(status, headers, content)

    def _exchange(
        self, method: str, path: str, body: JsonObject | None, query: dict[str, str] | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request; return the status, the headers and the content of its answer."""
        try:
            with call_within(self._deadline_s, max_idle_s=self._max_idle_s) as call:
                request = self._prepare(method, path, body, query)
                # not session.send: preparing a request from scratch costs more CPU than sending it
                response = self._adapter.send(
                    request,
                    stream=True,
                    timeout=self._timeout,
                    verify=self._session.verify or True,
                    proxies=self._proxies,
                )
                content = read_bounded(response, self._max_bytes)
        except AnswerTooLarge as error:
            raise Unavailable(f"PhotoGPT's answer cannot be read: {error}") from error
        except requests.RequestException as error:
            raise connection_error(error, sent=call.sent, proxied=self._proxies is not None) from error
        if date := response.headers.get("Date"):
            self._last_date = date, time.monotonic()
        return response.status_code, response.headers, content

    def _prepare(
        self, method: str, path: str, body: JsonObject | None, query: dict[str, str] | None
    ) -> requests.PreparedRequest:
        """Return a request with an encoded path, prepared as the session would do it."""
        request = copy(self._template)
        request.method = method
        request.url = (self._template.url or "").removesuffix("/") + path + (f"?{urlencode(query)}" if query else "")
        if body is not None:
            request.headers = self._template.headers.copy()
            request.headers["Content-Type"] = "application/json"
            request.prepare_body(json.dumps(body).encode(), None)
        return request

    @cached_property
    def _template(self) -> requests.PreparedRequest:
        """The parts that all requests share."""
        return self._session.prepare_request(requests.Request("GET", f"{self._base}/"))


def _route(path: str) -> str:
    """Return a path with `{id}` instead of an id, so that spans have few different names."""
    _, first, *rest = path.split("/")
    if rest and path not in TRIGGERS.values():
        rest[0] = "{id}"
    return "/".join(["", first, *rest])


def _segment(name: object) -> str:
    """Return an id as one path segment. URL libraries resolve `.` and `..`, so those are refused."""
    text = str(name)
    if text in {"", ".", ".."}:
        raise Refused(f"{text!r} is not a possible id", reason=Reason.NOT_FOUND)
    return quote(text, safe="", errors="replace")


def _records(value: Any) -> tuple[JsonObject, ...]:
    """Return image and video records unchanged; wrap anything else as `value`, because it was paid for."""
    found = value if isinstance(value, list) else [value]
    return tuple(item if isinstance(item, dict) else {"value": item} for item in found if item)
