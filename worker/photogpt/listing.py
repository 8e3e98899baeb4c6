"""The pages of GET /jobs, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from worker.domain.errors import Unavailable
from worker.domain.job import JsonObject
from worker.domain.times import rfc3339
from worker.photogpt.answers import text_of

MAX_PAGES = 2000  # of one listing, in case the page tokens never end


class Listing:
    """An iterator over the pages of the generations created between two times (epoch seconds).

    After an error, the next page is the one that failed. PhotoGPT documents neither order nor page size nor the mark
    of the last page: a missing, empty or repeated token ends the list.
    """

    def __init__(self, request: Callable[[dict[str, str]], JsonObject], start: float, end: float) -> None:
        """Request nothing yet.

        Args:
            request: requests one page; takes the query and returns an object with the list `jobs`.
            start: beginning of the window.
            end: end of the window.
        """
        self._request = request
        self._window = {"start": rfc3339(start), "end": rfc3339(end)}
        self._token: str | None = ""
        self._used = {""}

    def __iter__(self) -> Self:
        """Return the listing."""
        return self

    def __next__(self) -> list[JsonObject]:
        """Request a page.

        Raises:
            Unavailable: the answer holds no list, or there are more than MAX_PAGES pages.
        """
        if self._token is None:
            raise StopIteration
        if len(self._used) > MAX_PAGES:
            raise Unavailable(f"PhotoGPT's list of jobs has more than {MAX_PAGES} pages", status=200)
        result = self._request(self._window | ({"pageToken": self._token} if self._token else {}))
        token = text_of(result.get("nextPageToken"))
        self._token = token if token and token not in self._used else None
        self._used.add(token or "")
        return [entry for entry in result["jobs"] if isinstance(entry, dict) and entry.get("jobId")]
