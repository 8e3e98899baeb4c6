"""GET /jobs/{id} and GET /jobs."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import crc32
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from worker.sandbox.api import views
from worker.sandbox.api.answers import Answer, Refusal, ok, parse_rfc3339
from worker.sandbox.api.request import Request
from worker.sandbox.faults.actions import Action
from worker.sandbox.sandbox import Sandbox
from worker.sandbox.state.records import Generation, JsonObject, ended_at

DAY_S = 24 * 3600.0
MAX_WINDOW_S = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class Cursor:
    """The start of a page: positions in the order of creation, from `low` up to and excluding `high`."""

    low: int
    high: int
    skip: int = 0
    """The number of entries of the window, in listing order, that earlier pages covered."""

    def encode(self) -> str:
        """Return the page token."""
        return urlsafe_b64encode(json.dumps([self.low, self.high, self.skip]).encode()).decode()

    @classmethod
    def decode(cls, token: str) -> "Cursor":
        """Return the cursor of a page token; refuse an invalid one with 400."""
        try:
            low, high, skip = (int(part) for part in json.loads(urlsafe_b64decode(token)))
        except (ValueError, TypeError) as error:
            raise Refusal(400, "Invalid pageToken.", repr(error)) from None
        if not 0 <= low <= high or skip < 0:
            raise Refusal(400, "Invalid pageToken.", token)
        return cls(low, high, skip)


def get_job(sandbox: Sandbox, request: Request) -> Answer:
    """GET /jobs/{id}."""
    sandbox.counters.polls[request.id] += 1
    generation = sandbox.archive.generations.get(request.id)
    if generation is None or (generation.kind == "training" and not sandbox.options.training_jobs):
        raise Refusal(404, "Job not found.", f"no job {request.id}")
    if request.now >= ended_at(generation):
        sandbox.counters.record_end_polled(generation.id, request.now)
    return ok(views.job(generation, sandbox.archive, request.media, request.now))


def list_jobs(sandbox: Sandbox, request: Request) -> Answer:
    """GET /jobs: newest first, in pages, changed by the list faults of the request."""
    action = request.action
    as_of = request.now - (action.list_lag_s or 0.0)
    cursor = _cursor(sandbox, request, as_of)
    size = action.page_size or sandbox.options.page_size
    page, skip = _page(sandbox, cursor, size, action)
    for generation in page:
        if as_of >= ended_at(generation):
            sandbox.counters.record_end_listed(generation.id, request.now)
    jobs = [_entry(generation, action, as_of) for generation in page]
    result: JsonObject = {"jobs": jobs}
    if skip < cursor.high - cursor.low:
        repeated = min(action.list_repeat or 0, max(0, len(jobs) - 1))
        result["nextPageToken"] = Cursor(cursor.low, cursor.high, skip - repeated).encode()
    elif action.last_page is not None:
        result["nextPageToken"] = "" if action.last_page == "empty" else None
    return ok(result)


def _cursor(sandbox: Sandbox, request: Request, as_of: float) -> Cursor:
    """Return the start of the page, from the page token or from the window."""
    token = request.query.get("pageToken")
    if token:
        cursor = Cursor.decode(token)
        return replace(cursor, high=min(cursor.high, len(sandbox.archive.ordered)))
    end = _time(request, "end") if "end" in request.query else None
    start = _time(request, "start") if "start" in request.query else None
    last = request.now if end is None else end
    first = last - DAY_S if start is None else start
    if first > last:
        raise Refusal(400, "start is later than end.")
    if last - first > MAX_WINDOW_S:
        raise Refusal(400, "The window is longer than 7 days.", f"{(last - first) / DAY_S:.2f} days")
    return Cursor(*sandbox.archive.created_between(first, min(last, as_of)))


def _time(request: Request, name: str) -> float:
    # An unescaped plus sign arrives as a space.
    text = request.query[name].replace(" ", "+")
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise Refusal(400, f"{name} is not an RFC 3339 time.", str(error)) from None


def _page(sandbox: Sandbox, cursor: Cursor, size: int, action: Action) -> tuple[list[Generation], int]:
    """Return the entries of one page, and how many entries of the window the next page skips."""
    page: list[Generation] = []
    skip = cursor.skip
    for position in _positions(cursor, action):
        if len(page) == size:
            break
        skip += 1
        generation = sandbox.archive.ordered[position]
        if _shown(generation, sandbox, action):
            page.append(generation)
    return page, skip


def _positions(cursor: Cursor, action: Action) -> Iterator[int]:
    window: Sequence[int] = range(cursor.high - 1, cursor.low - 1, -1)
    if action.list_order == "oldest_first":
        window = range(cursor.low, cursor.high)
    elif action.list_order == "shuffled":
        window = Random(cursor.high).sample(window, len(window))
    return iter(window[cursor.skip :])


def _shown(generation: Generation, sandbox: Sandbox, action: Action) -> bool:
    if generation.kind == "training" and not sandbox.options.training_jobs:
        return False
    return action.list_omit is None or _job_fraction(generation.id) >= action.list_omit


def _entry(generation: Generation, action: Action, as_of: float) -> JsonObject:
    entry = views.job_summary(generation, as_of)
    if action.list_lie is not None and _job_fraction(generation.id) < action.list_lie_fraction:
        entry["status"] = action.list_lie
    return entry


def _job_fraction(job_id: str) -> float:
    """Return a number from 0 to below 1, always the same for one job."""
    return crc32(job_id.encode()) / 2**32
