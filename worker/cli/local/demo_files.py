"""Saves the pictures and videos that the demo made: images by their URLs, videos by the two steps of a download."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests

from worker.cli.local.demo_jobs import Run
from worker.domain.outcome import Outcome

TIMEOUT_S = 20.0
"""For each request, and for the preparation of a video's file."""
POLL_S = 0.2
PIECE_BYTES = 65536
SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "video/mp4": ".mp4"}


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file in the demo's folder."""

    title: str
    """The title of its plan."""
    kind: str
    job_id: str
    generation_id: str
    """The job's id at PhotoGPT, which the sandbox writes into its pictures."""
    prompt: str
    name: str
    """Its name in the folder."""
    content_type: str
    size: int
    """Bytes."""


class Downloads:
    """Downloads outputs of one PhotoGPT into a folder. Use it in a `with` block."""

    def __init__(self, base_url: str, api_key: str, folder: Path) -> None:
        """Take the API's address and key; the key is not sent to the hosts of files."""
        self._base_url = base_url
        self._folder = folder
        self._headers = {"Authorization": f"Bearer {api_key}", "API-Version": "1"}
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._session.close()

    def save(self, run: Run) -> Iterator[SavedFile]:
        """Save every image and video of a run, one after the other.

        Raises:
            OSError: a file cannot be downloaded or written; errors of `requests` are such.
        """
        for outcome in run.outcomes:
            urls = [str(image["url"]) for image in outcome["images"]]
            urls += [self._prepared(str(video["id"])) for video in outcome["videos"]]
            for number, url in enumerate(urls, 1):
                yield self._save(run, outcome, number, url)

    def _save(self, run: Run, outcome: Outcome, number: int, url: str) -> SavedFile:
        with self._session.get(url, stream=True, timeout=TIMEOUT_S) as answer:
            answer.raise_for_status()
            content_type = answer.headers.get("Content-Type", "")
            name = f"{outcome['id']}-{number}{SUFFIXES.get(content_type, '')}"
            with (self._folder / name).open("wb") as file:
                size = sum(file.write(piece) for piece in answer.iter_content(PIECE_BYTES))
        return SavedFile(
            title=run.plan.title,
            kind=outcome["kind"],
            job_id=outcome["id"],
            generation_id=outcome["generation_id"] or "",
            prompt=str(_request(run, outcome).get("prompt", "")),
            name=name,
            content_type=content_type,
            size=size,
        )

    def _prepared(self, video_id: str) -> str:
        """Return the URL of a video's file, once PhotoGPT has prepared it."""
        deadline = time.monotonic() + TIMEOUT_S
        self._get(f"/videos/{video_id}/create-download")
        while time.monotonic() < deadline:
            download = self._get(f"/videos/{video_id}/download")
            if download["status"] == "ready":
                return str(download["url"])
            time.sleep(POLL_S)
        raise TimeoutError(f"the file of video {video_id} was not ready within {TIMEOUT_S:g} s")

    def _get(self, path: str) -> Any:
        answer = self._session.get(self._base_url + path, headers=self._headers, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.json()["result"]


def _request(run: Run, outcome: Outcome) -> dict[str, Any]:
    return run.plan.steps[run.ids.index(outcome["id"])][1]
