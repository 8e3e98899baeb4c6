"""GET /jobs/{id} and GET /jobs."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import crc32
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from worker.sandbox import views
from worker.sandbox.answers import Answer, Refusal, ok, parse_rfc3339
from worker.sandbox.faults import Action
from worker.sandbox.sandbox import Request, Sandbox
from worker.sandbox.world import Generation, JsonObject, ended_at

DAY_S = 24 * 3600.0
MAX_WINDOW_S = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: positions in the order of creation, from `low` up to but without `high`."""

    low: int
    high: int
    skip: int = 0
    """How many entries of the window, in the order they are told, earlier pages told."""

    def encode(self) -> str:
        """The page token."""
        return urlsafe_b64encode(json.dumps([self.low, self.high, self.skip]).encode()).decode()

    @classmethod
    def decode(cls, token: str) -> "Cursor":
        """The cursor in a page token, or a refusal."""
        try:
            low, high, skip = (int(part) for part in json.loads(urlsafe_b64decode(token)))
        except (ValueError, TypeError) as error:
            raise Refusal(400, "Invalid pageToken.", repr(error)) from None
        if not 0 <= low <= high or skip < 0:
            raise Refusal(400, "Invalid pageToken.", token)
        return cls(low, high, skip)


def get_job(sandbox: Sandbox, request: Request) -> Answer:
    """GET /jobs/{id}."""
    sandbox.counters.looks[request.id] += 1
    generation = sandbox.archive.generations.get(request.id)
    if generation is None or (generation.kind == "training" and not sandbox.options.training_jobs):
        raise Refusal(404, "Job not found.", f"no job {request.id}")
    if request.now >= ended_at(generation):
        sandbox.counters.told(generation.id, request.now)
    return ok(views.job(generation, sandbox.archive, request.now))


def list_jobs(sandbox: Sandbox, request: Request) -> Answer:
    """GET /jobs: newest first, in pages, with whatever the fault of the request does to it."""
    action = request.action
    as_of = request.now - (action.list_lag_s or 0.0)
    cursor = _cursor(sandbox, request, as_of)
    size = action.page_size or sandbox.options.page_size
    page, skip = _page(sandbox, cursor, size, action)
    for generation in page:
        if as_of >= ended_at(generation):
            sandbox.counters.listed(generation.id, request.now)
    jobs = [_entry(generation, action, as_of) for generation in page]
    result: JsonObject = {"jobs": jobs}
    if skip < cursor.high - cursor.low:
        repeated = min(action.list_repeat or 0, max(0, len(jobs) - 1))
        result["nextPageToken"] = Cursor(cursor.low, cursor.high, skip - repeated).encode()
    elif action.last_page is not None:
        result["nextPageToken"] = "" if action.last_page == "empty" else None
    return ok(result)


def _cursor(sandbox: Sandbox, request: Request, as_of: float) -> Cursor:
    """Where to begin: a page token knows it, otherwise the window tells."""
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
    return Cursor(*sandbox.archive.window(first, min(last, as_of)))


def _time(request: Request, name: str) -> float:
    # A plus sign that was not escaped arrives as a space.
    text = request.query[name].replace(" ", "+")
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise Refusal(400, f"{name} is not an RFC 3339 time.", str(error)) from None


def _page(sandbox: Sandbox, cursor: Cursor, size: int, action: Action) -> tuple[list[Generation], int]:
    """The entries of one page, and how many of the window are behind them by then."""
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
    return action.list_omit is None or _lot(generation.id) >= action.list_omit


def _entry(generation: Generation, action: Action, as_of: float) -> JsonObject:
    entry = views.job_summary(generation, as_of)
    if action.list_lie is not None and _lot(generation.id) < action.list_lie_fraction:
        entry["status"] = action.list_lie
    return entry


def _lot(job_id: str) -> float:
    """A number from 0 to below 1 that belongs to a job for ever."""
    return crc32(job_id.encode()) / 2**32
