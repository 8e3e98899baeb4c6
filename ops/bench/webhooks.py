"""Many good receivers beside a dead and a dripping one: how late the good ones' webhooks are, with and without the bad.

    .venv/bin/python ops/bench/webhooks.py --per-s 200 --seconds 15
    .venv/bin/python ops/bench/webhooks.py --per-s 200 --seconds 15 --bad 0.1

Starts a Valkey, one worker and a receiver of its own on loopback, writes webhooks into the ledger at the rate asked
for, spread over --endpoints paths, and measures from there to the receiver. `--bad` is the share, on top, of webhooks
that go to a closed port and to a receiver that drips. Prints one JSON object. Bounded by --limit seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from celery import Celery

from config.settings import Settings
from worker.cli.embedded import EmbeddedValkey
from worker.cli.processes import Child
from worker.domain.endpoint import endpoint_of
from worker.messages import CeleryMessages
from worker.store import keys
from worker.store.connection import Store, open_store
from worker.store.keys import Lane

STEP_S = 0.05


def receive(pipe: Connection) -> None:
    """Answer at once, and note how late each webhook is; another port drips. In a process of its own."""
    late: list[float] = []

    class Good(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            late.append(time.time() - float(json.loads(body)["at"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    good = ThreadingHTTPServer(("127.0.0.1", 0), Good)
    good.daemon_threads = True
    threading.Thread(target=good.serve_forever, args=(0.05,), daemon=True).start()
    dripping = socket.create_server(("127.0.0.1", 0), backlog=512)
    threading.Thread(target=drip, args=(dripping,), daemon=True).start()
    pipe.send((good.server_port, dripping.getsockname()[1]))
    while pipe.recv() == "count":
        pipe.send(len(late))
    pipe.send(late)


def drip(server: socket.socket) -> None:
    """Take everybody, and send a byte now and then."""
    taken: list[socket.socket] = []
    server.settimeout(0.5)
    while True:
        with contextlib.suppress(TimeoutError):
            taken.append(server.accept()[0])
        for sock in taken:
            with contextlib.suppress(OSError):
                sock.send(b"H")


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of them lie, in milliseconds."""
    ordered = sorted(values)
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


def write(store: Store, messages: CeleryMessages, urls: list[str], first: int) -> None:
    """Put webhooks into the ledger, and see to it that the lane is looked after."""
    pipeline = store.client.pipeline(transaction=False)
    now = time.time()
    for number, url in enumerate(urls, start=first):
        name = f"msg_{number}"
        fields: dict[Any, Any] = {"id": name, "type": "job.succeeded", "url": url, "job": f"job-{number}"}
        fields |= {"body": json.dumps({"at": now, "filler": "x" * 1000})}
        fields |= {"state": "pending", "attempts": 0, "created": now}
        pipeline.hset(keys.delivery(name), mapping=fields)
        pipeline.expire(keys.delivery(name), 3600)
        pipeline.zadd(keys.lane(Lane.DELIVERIES), {name: now})
    pipeline.execute()
    for wake in store.lanes.watch([Lane.DELIVERIES]):
        messages.wake(wake)


def main() -> None:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-s", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--endpoints", type=int, default=100)
    parser.add_argument("--bad", type=float, default=0.0)
    parser.add_argument("--limit", type=float, default=120)
    asked = parser.parse_args()
    pipe, there = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=receive, args=(there,), daemon=True)
    receiver.start()
    with tempfile.TemporaryDirectory() as folder:
        valkey = EmbeddedValkey(Path(folder) / "valkey")
        try:
            print(json.dumps(run(asked, Path(folder), valkey, pipe), indent=2))
        finally:
            valkey.stop()
            receiver.kill()


def run(asked: argparse.Namespace, folder: Path, valkey: EmbeddedValkey, pipe: Any) -> dict[str, Any]:
    """Write, wait until the good ones have come, and return what was measured."""
    good, dripping = pipe.recv()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
    env = {"PHOTOGPT_REDIS_URL": valkey.url, "PHOTOGPT_API_KEY": "none", "PHOTOGPT_LOG_LEVEL": "ERROR"}
    env |= {"PHOTOGPT_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8"}
    worker = Child("worker", [sys.executable, "-m", "worker.cli.main", "worker"], env=env, log=folder / "worker.log")
    app = Celery(broker=valkey.url, backend=valkey.url, set_as_current=False)
    store = open_store(Settings(redis_url=valkey.url))
    try:
        ends = time.monotonic() + asked.limit
        while not app.control.ping(timeout=1) and time.monotonic() < ends:
            pass
        begun, sent, bad, number = time.monotonic(), 0, 0, 0
        while (elapsed := time.monotonic() - begun) < asked.seconds:
            due = int(asked.per_s * elapsed)
            urls = [f"http://127.0.0.1:{good}/hook/{one % asked.endpoints}" for one in range(sent, due)]
            more = int(asked.per_s * asked.bad * elapsed) - bad
            urls += [f"http://127.0.0.1:{(dead, dripping)[one % 2]}/" for one in range(more)]
            write(store, CeleryMessages(app), urls, number)
            sent, bad, number = due, bad + more, number + len(urls)
            time.sleep(STEP_S)
        came = 0
        while came < sent and time.monotonic() < ends:
            time.sleep(0.2)
            pipe.send("count")
            came = pipe.recv()
        took = time.monotonic() - begun
        pipe.send("all")
        late = pipe.recv()
        states = {port: store.endpoints.get(endpoint_of(f"http://127.0.0.1:{port}/").id) for port in (dead, dripping)}
        return {
            "good_sent": sent,
            "good_came": len(late),
            "bad_sent": bad,
            "seconds": round(took, 1),
            **{f"p{int(share * 100)}_ms": percentile(late, share) for share in (0.5, 0.9, 0.99)},
            "worst_ms": percentile(late, 1),
            "load": os.getloadavg()[0],
            "dead": (states[dead] or {}).get("state"),
            "dripping": (states[dripping] or {}).get("state"),
        }
    finally:
        worker.stop()
        store.close()
        app.close()


if __name__ == "__main__":
    main()
