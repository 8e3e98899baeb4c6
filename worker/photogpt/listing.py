"""The pages of GET /jobs, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from worker.domain.errors import Throttled, Unavailable
from worker.domain.job import JsonObject
from worker.domain.times import rfc3339
from worker.photogpt.answers import text_of

MAX_PAGES = 2000  # of one listing, in case the page tokens never end
PAGE_ATTEMPTS = 3  # with 5 % errors a listing of 70 pages ends in 3 % of the cases with one attempt, in 99 % with three
PAGE_RETRY_S = 0.5
MAX_PAGE_RETRY_S = 5.0  # a listing that has to wait longer begins again later

Request = Callable[[dict[str, str]], JsonObject]
"""Requests one page; takes the query and returns an object with the list `jobs`."""


def listed_pages(request: Request, start: float, end: float, *, attempts: int = 1) -> Iterator[list[JsonObject]]:
    """Yield pages of the generations created between two times (epoch seconds).

    PhotoGPT documents neither order nor page size nor the mark of the last page: a missing, empty or repeated
    token ends the list.

    Args:
        request: requests one page.
        start: beginning of the window.
        end: end of the window.
        attempts: maximum number of requests for each page after the first.

    Raises:
        Unavailable: an answer holds no list, or there are more than MAX_PAGES pages.
    """
    window = {"start": rfc3339(start), "end": rfc3339(end)}
    token: str | None = None
    used = set[str]()
    for _ in range(MAX_PAGES):
        result = _page(request, window | {"pageToken": token}, attempts) if token else _page(request, window, 1)
        yield [entry for entry in result["jobs"] if isinstance(entry, dict) and entry.get("jobId")]
        token = text_of(result.get("nextPageToken"))
        if not token or token in used:
            return
        used.add(token)
    raise Unavailable(f"PhotoGPT's list of jobs has more than {MAX_PAGES} pages", status=200)


def _page(request: Request, query: dict[str, str], attempts: int) -> JsonObject:
    """Return one page. Retries errors that may pass soon, so that the pages before are not requested again."""
    try:
        return request(query)
    except (Throttled, Unavailable) as error:
        wait_s = PAGE_RETRY_S if error.retry_after is None else error.retry_after
        if attempts <= 1 or wait_s > MAX_PAGE_RETRY_S:
            raise
    time.sleep(wait_s)
    return _page(request, query, attempts - 1)
