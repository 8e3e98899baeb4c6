"""Kill everything, again and again, while jobs run; then audit.

    .venv/bin/python -m tests.chaos.driver --seconds 120 --jobs 300 --seed 7 [--design ours|obvious|both]

Workers, Redis, the API and the receiver are real (the first three processes of their own), killed, paused and stopped
at moments that the seed decides, the same for both designs; the API misbehaves meanwhile. Prints a table and exits 1 if
the books of our design disagree. Bounded: `--seconds` of trouble, then at most `--rest` seconds for everything to come
to rest, less if nothing has moved for `--still` seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import redis
from kombu.exceptions import OperationalError
from rich.console import Console
from rich.table import Table

from tests.chaos.books import MUST_BE_NOUGHT, Books
from tests.chaos.designs import DESIGNS, Design
from tests.running import WEBHOOK_SECRET, ReceivedRequest, Receiver, WorkerProcess
from worker.cli.local.embedded import EmbeddedValkey
from worker.cli.local.processes import Child
from worker.sandbox.remote import SandboxProcess

API_FAULTS = [
    {"match": "trigger*", "probability": 0.02, "action": {"status": 503}},
    {"match": "trigger*", "probability": 0.02, "action": {"status_after": 502}},
    {"match": "trigger*", "probability": 0.02, "action": {"drop_after": True}},
    {"match": "trigger*", "probability": 0.02, "action": {"drop": True}},
    {"match": "trigger*", "probability": 0.03, "action": {"status": 429, "retry_after": 1}},
    {"match": "getJobStatus", "probability": 0.05, "action": {"status": 500}},
    {"match": "getJobStatus", "probability": 0.03, "action": {"drop": True}},
    {"match": "getJobStatus", "probability": 0.03, "action": {"html": 502}},
    {"match": "getJobStatus", "probability": 0.03, "action": {"reset_half_body": True}},
    {"match": "getJobStatus", "probability": 0.05, "action": {"odd_case": "title"}},
    {"match": "getJobStatus", "younger_than_s": 0.5, "probability": 0.3, "action": {"not_found": True}},
]
TROUBLES = ("kill a worker", "kill a worker", "kill all workers", "pause a worker", "stop a worker", "kill redis")
EVERY_TRAINING = 10  # one job in so many
FIRST_TRIES_REFUSED = 0.2  # of webhooks; second ones are taken


@dataclass
class Trouble:
    """One run: the parts, the dice, and what was done to them."""

    asked: argparse.Namespace
    folder: Path
    kind: type[Design]
    books: Books = field(default_factory=Books)
    done: Counter[str] = field(default_factory=Counter)
    back: list[float] = field(default_factory=list)
    taken: list[ReceivedRequest] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    leaving: list[Child] = field(default_factory=list)
    over: float = 0.0

    def begin(self, stack: ExitStack) -> None:
        """Start everything."""
        self.dice = random.Random(self.asked.seed)
        self.moods = random.Random(self.asked.seed + 1)  # the receiver's own: its threads must not disturb the kills
        self.valkey = EmbeddedValkey(self.folder / "valkey")
        stack.callback(self.valkey.stop)
        told = ("--journal", str(self.folder / "sandbox.jsonl"), "--seed", str(self.asked.seed))
        laws = ("--duration", "image=uniform:1:6", "--duration", "training=uniform:3:8")
        self.sandbox = stack.enter_context(SandboxProcess(*laws, *told))
        self.receiver = Receiver(self.answer)
        stack.callback(self.receiver.close)
        self.env = {
            "PHOTOGPT_REDIS_URL": self.valkey.url,
            "PHOTOGPT_BASE_URL": self.sandbox.base_url,
            "PHOTOGPT_API_KEY": "sandbox-key",
            "PHOTOGPT_JOB_POLL_INTERVAL_S": "1",
            "PHOTOGPT_MODEL_POLL_INTERVAL_S": "2",
            "PHOTOGPT_API_CALL_DEADLINE_S": "5",
            "PHOTOGPT_UNCERTAIN_SETTLE_S": "6",
            "PHOTOGPT_CLOCK_SKEW_S": "1",
            "PHOTOGPT_WEBHOOK_SECRETS": WEBHOOK_SECRET,
            "PHOTOGPT_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        }
        self.design = self.kind(self.valkey.url)
        stack.callback(self.design.close)
        stack.callback(self.end_workers)
        self.workers = [self.design.worker(self.env, self.folder / f"worker-{number}.log") for number in range(2)]
        for worker in self.workers:
            worker.ready()
        for number in range(0, self.asked.jobs, EVERY_TRAINING):
            self.sandbox.control.model(f"model-{self.design.name_of(number)}", status="new")
        self.sandbox.control.faults(API_FAULTS)

    def end_workers(self) -> None:
        """End every worker process there is or was."""
        for child in [*self.leaving, *(worker.child for worker in self.workers)]:
            child.kill()

    def answer(self, received: ReceivedRequest) -> int:
        """Answer a webhook: some are refused at the first try."""
        name = received.headers["webhook-id"]
        if name not in self.refused and self.moods.random() < FIRST_TRIES_REFUSED:
            self.refused.add(name)
            return 500
        self.taken.append(received)
        return 204

    def produce(self) -> None:
        """Enqueue jobs until the time is over; repeat what was not acknowledged, under the same id."""
        pause = self.asked.seconds / max(self.asked.jobs, 1)
        for number in range(self.asked.jobs):
            name = self.design.name_of(number)
            kind, request = "image", {"modelID": "nanobanana", "prompt": f"for {name}"}
            if number % EVERY_TRAINING == 0:
                kind, request = "training", {"modelID": f"model-{name}"}
            while True:
                try:
                    self.design.enqueue(self.books, number, kind, request, self.receiver.url)
                except (redis.RedisError, OperationalError, OSError):
                    time.sleep(0.2)
                else:
                    break
            time.sleep(pause)

    def make_trouble(self) -> None:
        """Do something bad at random until the time is over."""
        ends = time.monotonic() + self.asked.seconds
        while time.monotonic() < ends:
            calm, random_fraction, length, which = (
                self.dice.random() for _ in range(4)
            )  # always four: one schedule per seed
            time.sleep(0.5 + calm * (self.asked.calm - 0.5))
            troubles = (*TROUBLES, "kill the api")
            trouble = troubles[int(random_fraction * len(troubles))]
            self.done[trouble] += 1
            self.strike(trouble, pause=2 * length, worker=self.workers[int(which * len(self.workers))])
            self.back.append(time.time())
            self.supervise()

    def strike(self, trouble: str, *, pause: float, worker: WorkerProcess) -> None:
        """Do one bad thing, and bring its victim back."""
        match trouble:
            case "kill redis":
                self.valkey.child.kill()
                time.sleep(pause)
                self.valkey.start()
            case "kill the api":
                self.sandbox.kill()
                time.sleep(pause)
                self.sandbox.restart()
                self.sandbox.control.faults(API_FAULTS)
            case "pause a worker":
                worker.child.send_signal(signal.SIGSTOP)
                time.sleep(self.asked.pause)
                worker.child.send_signal(signal.SIGCONT)
            case "stop a worker":  # the next one starts at once, as in a rolling deploy
                worker.child.send_signal(signal.SIGTERM)
                self.leaving.append(worker.child)
                worker.start()
            case _:
                chosen = self.workers if trouble == "kill all workers" else [worker]
                for victim in chosen:
                    victim.kill()
                for victim in chosen:
                    victim.start()

    def supervise(self) -> None:
        """Start workers again that have ended by themselves, as any supervisor would."""
        for worker in self.workers:
            if worker.child.exit_code is not None:
                self.done["worker ended by itself"] += 1
                worker.start()

    def come_to_rest(self) -> None:
        """Stop the trouble and wait until everything has ended, or nothing moves any more."""
        self.sandbox.control.clear()
        self.over = time.time()
        ends = time.monotonic() + self.asked.rest
        moved, left = time.monotonic(), set[str]()
        while time.monotonic() < min(ends, moved + self.asked.still):
            self.supervise()
            self.audit()
            if not self.books.unfinished():
                return
            if self.books.unfinished() != left:
                moved, left = time.monotonic(), self.books.unfinished()
            time.sleep(1)

    def audit(self) -> None:
        """Read all books again."""
        books = Books(accepted=self.books.accepted, default_continuation=self.books.default_continuation)
        with redis.Redis.from_url(self.valkey.url, decode_responses=True) as client:
            self.design.read(books, client)
        books.read_generations(self.sandbox.control.generations())
        books.read_webhooks(list(self.taken))
        self.books = books

    def recoveries(self) -> list[float]:
        """Return, for every trouble, the seconds from when the victim was back to the next event of any job."""
        later = (min((at for at in self.books.progress if at >= back), default=None) for back in self.back)
        return sorted(at - back for at, back in zip(later, self.back, strict=True) if at is not None) or [0.0]

    def column(self) -> dict[str, str]:
        """Return what the table shows of this run."""
        recoveries = self.recoveries()
        shown = {name: str(count) for name, count in self.books.verdict().items()}
        shown |= {name: str(count) for name, count in sorted(self.done.items())}
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            value = recoveries[min(len(recoveries) - 1, int(share * len(recoveries)))]
            shown[f"next event after a restart, {name}"] = f"{value:.1f} s"
        last = max(self.books.progress, default=self.over) - self.over
        shown["last event after the trouble"] = f"{max(0.0, last):.1f} s"
        return shown

    def agree(self) -> bool:
        """Whether the books agree."""
        verdict = self.books.verdict()
        return not any(verdict[name] for name in MUST_BE_NOUGHT)


def run(asked: argparse.Namespace, kind: type[Design], folder: Path) -> Trouble:
    """Do chaos to one design, and return what came of it."""
    trouble = Trouble(asked, folder, kind)
    folder.mkdir()
    with ExitStack() as stack:
        trouble.begin(stack)
        producing = threading.Thread(target=trouble.produce, daemon=True)
        producing.start()
        trouble.make_trouble()
        producing.join(timeout=asked.rest)
        trouble.come_to_rest()
        with contextlib.suppress(redis.RedisError):
            trouble.audit()
    return trouble


def report(seed: int, runs: list[Trouble]) -> None:
    """Print the table, a column for each design."""
    table = Table(title=f"chaos, seed {seed}")
    table.add_column("what")
    columns = [trouble.column() for trouble in runs]
    for trouble in runs:
        table.add_column("count" if len(runs) == 1 else trouble.design.name, justify="right")
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name, *(column.get(name, "0") for column in columns))
    Console(width=88).print(table)
    for trouble in runs:
        words = "the books agree" if trouble.agree() else f"the books DISAGREE; see {trouble.folder}"
        sys.stdout.write(f"{trouble.design.name}: {words}\n")


def main(argv: list[str] | None = None) -> int:
    """Run, audit, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", choices=[*DESIGNS, "both"], default="ours")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--calm", type=float, default=4, help="longest seconds between two troubles")
    parser.add_argument("--pause", type=float, default=3, help="seconds that a paused worker stands still")
    parser.add_argument("--rest", type=float, default=240)
    parser.add_argument("--still", type=float, default=75, help="seconds without a change after which all is over")
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args(argv)
    asked.seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    sys.stdout.write(f"seed {asked.seed}; logs in {folder}\n")
    sys.stdout.flush()
    names = list(DESIGNS)[::-1] if asked.design == "both" else [asked.design]
    runs = [run(asked, DESIGNS[name], folder / name) for name in names]
    report(asked.seed, runs)
    return 0 if all(trouble.agree() for trouble in runs if trouble.design.name == "ours") else 1


if __name__ == "__main__":
    sys.exit(main())
