"""The limit: GET /jobs/{id} over and over with `requests`, kept-alive sessions and nothing around it.

    python -m ops.bench.bare THREADS FILE_OF_IDS

Says `ready` and looks at the ids in turn until it is told to end.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from pathlib import Path

import requests

API = os.environ.get("PHOTOGPT_BASE_URL", "")
HEADERS = {"Authorization": f"Bearer {os.environ.get('PHOTOGPT_API_KEY', '')}", "API-Version": "1"}


def look(ids: list[str]) -> None:
    """Look, for ever."""
    with requests.Session() as session:
        session.trust_env = False  # asking the environment for proxies each time would be a third of the time
        session.headers.update(HEADERS)
        for job_id in itertools.cycle(ids):
            answer = session.get(f"{API}/jobs/{job_id}", timeout=20)
            answer.raise_for_status()
            answer.json()["result"]["status"].lower()


def main(threads: int, ids: list[str]) -> None:
    """Share the ids among so many threads."""
    for number in range(threads):
        threading.Thread(target=look, args=(ids[number::threads],), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).read_text().split())
