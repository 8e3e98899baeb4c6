"""PhotoGPT's HTTP API: the five calls that the service makes, each bounded, none repeated by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import requests

from worker import __version__
from worker.domain.durations import seconds_between
from worker.domain.errors import MissingGenerationId, Refused, Unavailable
from worker.domain.job import JsonObject, Kind
from worker.domain.reason import Reason
from worker.domain.times import rfc3339
from worker.http.deadline import AnswerTooLarge, BoundedAdapter, bounded_session, call_within, read_bounded
from worker.photogpt.answers import not_reached, read_answer

if TYPE_CHECKING:
    from config.settings import Settings

API_VERSION = "1"  # docs/getting-started: on every request
TRIGGERS = {
    Kind.IMAGE: "/images/generation",
    Kind.UPSCALE: "/images/upscaling",
    Kind.VIDEO: "/videos/generation",
}
MAX_PAGES = 2000  # of one listing; a list that never ends is not believed


UNFINISHED = frozenset({"created", "queued", "running"})  # docs/jobs
UNTRAINED = frozenset({"new", "training"})  # docs/models says "typical", so there may be others
TRAINING_FAILED = frozenset({"failed", "error"})  # not documented, but unmistakable


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationSeen:
    """What GET /jobs/{id} showed. `status` is lower case: the vendor's own sample lower-cases it (docs/jobs)."""

    status: str
    images: tuple[JsonObject, ...] = ()
    videos: tuple[JsonObject, ...] = ()
    error: str | None = None
    model_id: str | None = None
    #: Seconds from its creation to that of its first output, by PhotoGPT's clock.
    duration_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSeen:
    """What GET /models/{id} showed."""

    status: str
    updated_at: str | None = None
    error: str | None = None

    @property
    def fingerprint(self) -> str:
        """A text that changes when the model does."""
        return json.dumps([self.status, self.updated_at])


class PhotoGPT:
    """The API, over kept-alive connections. Every method raises `ApiError` when the answer is not a yes."""

    def __init__(self, settings: Settings) -> None:
        """Take address, key and limits from the settings; connections open when they are needed."""
        self._base = settings.base_url
        self._timeout = (settings.api_connect_timeout_s, settings.api_read_timeout_s)
        self._deadline_s = settings.api_call_deadline_s
        self._most_bytes = settings.api_max_answer_bytes
        self._adapter = BoundedAdapter(max_retries=0, pool_connections=4, pool_maxsize=4 * settings.call_concurrency)
        self._session = bounded_session({"http://": self._adapter, "https://": self._adapter})
        self._dated: tuple[str, float] | None = None
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._session.headers = {
            "Authorization": f"Bearer {key}",
            "API-Version": API_VERSION,
            "User-Agent": f"photogpt-worker/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
        }

    def trigger(self, kind: Kind, request: JsonObject) -> str | None:
        """Ask for a generation and return its id; a training has none. May cost credits.

        Raises:
            ApiError: `definite` says whether it is certain that nothing was created.
            Unnamed: something was, and nobody knows what.
        """
        if kind is Kind.TRAINING:
            self._call("GET", f"/models/{_segment(request['modelID'])}/train")
            return None
        result = self._call("POST", TRIGGERS[kind], body=request)
        generation_id = result.get("jobId") if isinstance(result, dict) else None
        if not generation_id or type(generation_id) not in {str, int}:  # a name that nothing could be looked up by
            raise MissingGenerationId("PhotoGPT says OK, but names no jobId", status=200)
        return str(generation_id)

    def generation(self, generation_id: str) -> GenerationSeen:
        """Look at a generation."""
        result = self._call("GET", f"/jobs/{_segment(generation_id)}")
        if not isinstance(result, dict) or not isinstance(result.get("status"), str):
            raise Unavailable("PhotoGPT's answer tells no status of the generation", status=200)
        if str(result.get("jobId") or generation_id) != generation_id:
            raise Unavailable("PhotoGPT's answer tells of another generation", status=200)
        images, videos = _records(result.get("images")), _records(result.get("videos"))
        first = next(iter(images + videos), {})
        return GenerationSeen(
            status=result["status"].strip().lower(),
            images=images,
            videos=videos,
            error=_text(result.get("error") or result.get("errorMessage")),
            model_id=_text(result.get("modelId")),
            duration_s=seconds_between(result.get("createdAt"), first["createdAt"]) if "createdAt" in first else None,
        )

    def model(self, model_id: str) -> ModelSeen:
        """Look at a model."""
        result = self._call("GET", f"/models/{_segment(model_id)}")
        if not isinstance(result, dict) or not isinstance(result.get("status"), str):
            raise Unavailable("PhotoGPT's answer tells no status of the model", status=200)
        return ModelSeen(
            status=result["status"].strip().lower(),
            updated_at=_text(result.get("updatedAt")),
            error=_text(result.get("error") or result.get("errorMessage")),
        )

    def generations_between(self, start: float, end: float) -> Iterator[JsonObject]:
        """List what was created between two times (epoch seconds)."""
        for page in self.pages_between(start, end):
            yield from page

    def pages_between(self, start: float, end: float, *, most: int = MAX_PAGES) -> Iterator[list[JsonObject]]:
        """List what was created between two times (epoch seconds), page by page, `most` of them at most.

        Order and page size are not documented, nor how the last page is marked: a missing, empty or repeated token
        ends it.
        """
        token, seen = None, set[str]()
        for _ in range(most):
            query = {"start": rfc3339(start), "end": rfc3339(end)} | ({"pageToken": token} if token else {})
            result = self._call("GET", "/jobs", query=query)
            if not isinstance(result, dict) or not isinstance(result.get("jobs"), list):
                raise Unavailable("PhotoGPT's answer holds no list of jobs", status=200)
            yield [entry for entry in result["jobs"] if isinstance(entry, dict) and entry.get("jobId")]
            token = _text(result.get("nextPageToken"))
            if not token or token in seen:
                return
            seen.add(token)
        raise Unavailable(f"PhotoGPT's list of jobs has more than {most} pages", status=200)

    def ping(self) -> None:
        """Check the key, the version header and the connection."""
        self._call("GET", "/ping")

    def ahead_s(self, at: float) -> float | None:
        """Return the seconds by which PhotoGPT's clock is ahead, by the Date of its latest answer; None if it has none.

        Args:
            at: the time now, epoch seconds, by the clock that PhotoGPT's is compared with.
        """
        if self._dated is None:
            return None
        date, heard = self._dated
        try:
            return parsedate_to_datetime(date).timestamp() + (time.monotonic() - heard) - at
        except (ValueError, OverflowError):
            return None

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _call(
        self, method: str, path: str, *, body: JsonObject | None = None, query: dict[str, str] | None = None
    ) -> Any:
        try:
            with call_within(self._deadline_s) as call:
                request = self._prepare(method, path, body, query)
                # not by the session, which prepares each call anew, for more than sending it costs
                response = self._adapter.send(
                    request, stream=True, timeout=self._timeout, verify=self._session.verify or True
                )
                content = read_bounded(response, self._most_bytes)
        except AnswerTooLarge as error:
            raise Unavailable(f"PhotoGPT's answer cannot be read: {error}") from error
        except requests.RequestException as error:
            raise not_reached(error, sent=call.sent) from error
        if date := response.headers.get("Date"):
            self._dated = date, time.monotonic()
        return read_answer(response.status_code, response.headers, content)

    def _prepare(
        self, method: str, path: str, body: JsonObject | None, query: dict[str, str] | None
    ) -> requests.PreparedRequest:
        """Return a request as the session would prepare it. `path` is encoded."""
        request = copy(self._blank)
        request.method = method
        request.url = (self._blank.url or "").removesuffix("/") + path + (f"?{urlencode(query)}" if query else "")
        if body is not None:
            request.headers = self._blank.headers.copy()
            request.headers["Content-Type"] = "application/json"
            request.prepare_body(json.dumps(body).encode(), None)
        return request

    @cached_property
    def _blank(self) -> requests.PreparedRequest:
        """What all requests share."""
        return self._session.prepare_request(requests.Request("GET", f"{self._base}/"))


def _segment(name: object) -> str:
    """Return an id as one part of a path. Two names are none: every URL library takes `/models/..` for `/`."""
    text = str(name)
    if text in {"", ".", ".."}:
        raise Refused(f"{text!r} cannot be the id of anything", reason=Reason.NOT_FOUND)
    return quote(text, safe="", errors="replace")


def _records(value: Any) -> tuple[JsonObject, ...]:
    """Image and video records, passed through whole; what is none, under `value`: it was paid for."""
    found = value if isinstance(value, list) else [value]
    return tuple(item if isinstance(item, dict) else {"value": item} for item in found if item)


def _text(value: Any) -> str | None:
    """The type of `error` is not documented: text, or whatever it is, as JSON."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value)
