"""The upper limit: GET /jobs/{id} in a loop, with `requests` and kept-alive sessions only.

    python -m ops.bench.bare THREADS FILE_OF_IDS

Prints `ready` and polls the ids in turn until it is killed.
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


def poll(ids: list[str]) -> None:
    """Poll the ids in turn for ever."""
    with requests.Session() as session:
        session.trust_env = False  # reading proxy variables would take a third of the CPU time
        session.headers.update(HEADERS)
        for job_id in itertools.cycle(ids):
            answer = session.get(f"{API}/jobs/{job_id}", timeout=20)
            answer.raise_for_status()
            answer.json()["result"]["status"].lower()


def main(threads: int, ids: list[str]) -> None:
    """Divide the ids among threads and poll."""
    for number in range(threads):
        threading.Thread(target=poll, args=(ids[number::threads],), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).read_text().split())
