"""The thread that reads the inbox in every worker process, so that no single process is needed to accept jobs."""

from __future__ import annotations

import threading
import time
from collections import Counter

from redis import RedisError

from worker.services import Services
from worker.steps.take_over import reject, take_over
from worker.store.connection import is_unavailable
from worker.store.inbox import Entry
from worker.telemetry.health import health
from worker.telemetry.labels import LoopPart
from worker.telemetry.logs import event
from worker.telemetry.outage import Outage
from worker.telemetry.shortage import is_shortage, resources

MAX_READ = 64  # entries of one read
BLOCK_S = 3.0  # of a read, below the timeout of 5 s of its connection
IDLE_S = 2.0  # after which another worker takes over what one has read; it takes milliseconds
CLAIM_EVERY_S = 5.0  # beside the reads: what another worker has left
STOP_S = 2.0  # for which a worker that stops waits for what it is taking over
RETRY_S = 1.0  # after an error
MAX_FAULTS = 5  # then an entry is rejected, so that it does not come back forever


class InboxReader:
    """A thread that takes over what producers append to the inbox."""

    def __init__(self, services: Services, redis_outage: Outage) -> None:
        """Prepare; `start` starts the thread."""
        self._services = services
        self._redis_outage = redis_outage
        self._faults: Counter[str] = Counter()
        self._claim_at = 0.0
        self._working = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    def start(self) -> None:
        """Start the thread. It ends once the process has to stop."""
        self._thread.start()

    def finish(self) -> None:
        """Wait until the entries in hand are taken over, and take over no more: others get what is read later."""
        self._working.acquire(timeout=STOP_S)

    def _run(self) -> None:
        while not self._services.stopping.is_set():
            health.beat(LoopPart.INBOX)
            try:
                self.take_over_new()
                self.take_over_left()
            except Exception as error:  # noqa: BLE001 - the thread must survive every error
                self._on_error(error)
                self._services.stopping.wait(RETRY_S)

    def take_over_new(self) -> None:
        """Take over entries that no worker has read; wait up to `BLOCK_S` seconds for one."""
        self._take_over(self._services.store.inbox.read(MAX_READ, block_s=BLOCK_S))

    def take_over_left(self) -> None:
        """Take over entries that a worker has read and left: it was killed, or the entry has to wait."""
        if time.monotonic() < self._claim_at:
            return
        self._claim_at = time.monotonic() + CLAIM_EVERY_S
        self._take_over(self._services.store.inbox.claim(MAX_READ, idle_s=IDLE_S))

    def _take_over(self, entries: list[Entry]) -> None:
        with self._working:
            done = [entry.id for entry in entries if self._is_done(entry)]
            if done:
                self._services.store.inbox.delete(done)

    def _is_done(self, entry: Entry) -> bool:
        try:
            return take_over(self._services, entry)
        except RedisError as error:
            if is_unavailable(error):
                raise
            return self._is_given_up(entry, error)
        except Exception as error:  # noqa: BLE001 - one entry must not stop the others
            return self._is_given_up(entry, error)

    def _is_given_up(self, entry: Entry, error: Exception) -> bool:
        """Count an unexpected error against its entry; reject the entry after `MAX_FAULTS` of them."""
        self._faults[entry.id] += 1
        event("inbox.failed", "an entry could not be taken over; it is tried again", exc_info=True, entry=entry.id)
        if self._faults[entry.id] < MAX_FAULTS:
            return False
        del self._faults[entry.id]
        reject(self._services, entry, f"taking it over raised {type(error).__name__}; the worker's log has a traceback")
        return True

    def _on_error(self, error: Exception) -> None:
        if self._services.stopping.is_set():
            return  # the connections may be closed already
        if is_shortage(error):
            resources.report(error)
        elif isinstance(error, RedisError) and is_unavailable(error):
            self._redis_outage.report(error)
        else:
            event("inbox.failed", "the inbox could not be read; it is tried again in a second", exc_info=True)
