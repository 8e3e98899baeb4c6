"""Kill workers, Redis and the API repeatedly while jobs run, then audit.

    .venv/bin/python -m tests.chaos.driver --seconds 120 --jobs 300 --seed 7 [--design ours|obvious|both]

Workers, Redis, API and receiver are real; the first three run in their own processes. The seed determines when they are
killed, paused and stopped, and it is the same for both designs; the API also returns errors at random. Prints a table
and exits 1 if the audit of our design fails. The run takes `--seconds` of faults, then at most `--settle` seconds until
all jobs have ended, less if nothing has changed for `--idle` seconds.
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

from tests.chaos.audit import MUST_BE_ZERO, Records
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
FAULTS = (
    "kill a worker",
    "kill a worker",
    "kill all workers",
    "pause a worker",
    "stop a worker",
    "kill redis",
    "kill the api",
)
TRAINING_EVERY = 10  # jobs
REFUSED_FIRST_ATTEMPTS = 0.2  # of webhooks; later attempts are accepted


@dataclass
class ChaosRun:
    """One run of one design: its processes, random numbers, and the faults so far."""

    arguments: argparse.Namespace
    folder: Path
    kind: type[Design]
    records: Records = field(default_factory=Records)
    faults: Counter[str] = field(default_factory=Counter)
    recovered_at: list[float] = field(default_factory=list)
    accepted: list[ReceivedRequest] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    stopping: list[Child] = field(default_factory=list)
    faults_ended_at: float = 0.0

    def start(self, stack: ExitStack) -> None:
        """Start everything."""
        self.rng = random.Random(self.arguments.seed)
        self.receiver_rng = random.Random(self.arguments.seed + 1)  # separate: its threads draw at random times
        self.valkey = EmbeddedValkey(self.folder / "valkey")
        stack.callback(self.valkey.stop)
        options = ("--journal", str(self.folder / "sandbox.jsonl"), "--seed", str(self.arguments.seed))
        durations = ("--duration", "image=uniform:1:6", "--duration", "training=uniform:3:8")
        self.sandbox = stack.enter_context(SandboxProcess(*durations, *options))
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
        for number in range(0, self.arguments.jobs, TRAINING_EVERY):
            self.sandbox.control.model(f"model-{self.design.name_of(number)}", status="new")
        self.sandbox.control.faults(API_FAULTS)

    def end_workers(self) -> None:
        """Kill every worker process, also those that are stopping."""
        for child in [*self.stopping, *(worker.child for worker in self.workers)]:
            child.kill()

    def answer(self, received: ReceivedRequest) -> int:
        """Answer a webhook; refuse some first attempts."""
        name = received.headers["webhook-id"]
        if name not in self.refused and self.receiver_rng.random() < REFUSED_FIRST_ATTEMPTS:
            self.refused.add(name)
            return 500
        self.accepted.append(received)
        return 204

    def produce(self) -> None:
        """Enqueue all jobs; repeat a job that was not confirmed, under the same id."""
        pause = self.arguments.seconds / max(self.arguments.jobs, 1)
        for number in range(self.arguments.jobs):
            name = self.design.name_of(number)
            kind, request = "image", {"modelID": "nanobanana", "prompt": f"for {name}"}
            if number % TRAINING_EVERY == 0:
                kind, request = "training", {"modelID": f"model-{name}"}
            while True:
                try:
                    self.design.enqueue(self.records, number, kind, request, self.receiver.url)
                except (redis.RedisError, OperationalError, OSError):
                    time.sleep(0.2)
                else:
                    break
            time.sleep(pause)

    def inject_faults(self) -> None:
        """Inject random faults for the given seconds."""
        ends = time.monotonic() + self.arguments.seconds
        while time.monotonic() < ends:
            delay, fault_index, length, worker_index = (self.rng.random() for _ in range(4))  # one schedule per seed
            time.sleep(0.5 + delay * (self.arguments.max_delay - 0.5))
            fault = FAULTS[int(fault_index * len(FAULTS))]
            self.faults[fault] += 1
            self.inject(fault, pause=2 * length, worker=self.workers[int(worker_index * len(self.workers))])
            self.recovered_at.append(time.time())
            self.supervise()

    def inject(self, fault: str, *, pause: float, worker: WorkerProcess) -> None:
        """Inject one fault and recover from it."""
        match fault:
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
                time.sleep(self.arguments.pause)
                worker.child.send_signal(signal.SIGCONT)
            case "stop a worker":  # its successor starts at once, as in a rolling deployment
                worker.child.send_signal(signal.SIGTERM)
                self.stopping.append(worker.child)
                worker.start()
            case _:
                victims = self.workers if fault == "kill all workers" else [worker]
                for victim in victims:
                    victim.kill()
                for victim in victims:
                    victim.start()

    def supervise(self) -> None:
        """Restart workers that have exited, as a supervisor does."""
        for worker in self.workers:
            if worker.child.exit_code is not None:
                self.faults["worker exited"] += 1
                worker.start()

    def settle(self) -> None:
        """Stop the API's faults and wait until all jobs have ended, or nothing changes any more."""
        self.sandbox.control.clear()
        self.faults_ended_at = time.time()
        ends = time.monotonic() + self.arguments.settle
        changed, unfinished = time.monotonic(), set[str]()
        while time.monotonic() < min(ends, changed + self.arguments.idle):
            self.supervise()
            self.audit()
            if not self.records.unfinished():
                return
            if self.records.unfinished() != unfinished:
                changed, unfinished = time.monotonic(), self.records.unfinished()
            time.sleep(1)

    def audit(self) -> None:
        """Read all records again."""
        records = Records(accepted=self.records.accepted, sent=self.records.sent)
        with redis.Redis.from_url(self.valkey.url, decode_responses=True) as client:
            self.design.read(records, client)
        records.read_generations(self.sandbox.control.generations())
        records.read_webhooks(list(self.accepted))
        self.records = records

    def recoveries(self) -> list[float]:
        """Return, for every fault, the seconds from recovery to the next event of any job."""
        seconds: list[float] = []
        for recovered in self.recovered_at:
            following = [at for at in self.records.progress if at >= recovered]
            seconds += [min(following) - recovered] if following else []
        return sorted(seconds) or [0.0]

    def column(self) -> dict[str, str]:
        """Return the cells of this run in the table."""
        recoveries = self.recoveries()
        cells = {name: str(count) for name, count in self.records.verdict().items()}
        cells |= {name: str(count) for name, count in sorted(self.faults.items())}
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            value = recoveries[min(len(recoveries) - 1, int(share * len(recoveries)))]
            cells[f"next event after a restart, {name}"] = f"{value:.1f} s"
        last = max(self.records.progress, default=self.faults_ended_at) - self.faults_ended_at
        cells["last event after the faults"] = f"{max(0.0, last):.1f} s"
        return cells

    def agree(self) -> bool:
        """Return whether all records agree."""
        verdict = self.records.verdict()
        return not any(verdict[name] for name in MUST_BE_ZERO)


def run(arguments: argparse.Namespace, kind: type[Design], folder: Path) -> ChaosRun:
    """Run one design under faults and return the audited run."""
    chaos = ChaosRun(arguments, folder, kind)
    folder.mkdir()
    with ExitStack() as stack:
        chaos.start(stack)
        producing = threading.Thread(target=chaos.produce, daemon=True)
        producing.start()
        chaos.inject_faults()
        producing.join(timeout=arguments.settle)
        chaos.settle()
        with contextlib.suppress(redis.RedisError):
            chaos.audit()
    return chaos


def report(seed: int, runs: list[ChaosRun]) -> None:
    """Print the table with one column per design."""
    table = Table(title=f"chaos, seed {seed}")
    table.add_column("what")
    columns = [chaos.column() for chaos in runs]
    for chaos in runs:
        table.add_column("count" if len(runs) == 1 else chaos.design.name, justify="right")
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name, *(column.get(name, "0") for column in columns))
    Console(width=88).print(table)
    for chaos in runs:
        verdict = "all records agree" if chaos.agree() else f"records DISAGREE; see {chaos.folder}"
        sys.stdout.write(f"{chaos.design.name}: {verdict}\n")


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, run, audit, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", choices=[*DESIGNS, "both"], default="ours")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--max-delay", type=float, default=4, help="maximum seconds between two faults")
    parser.add_argument("--pause", type=float, default=3, help="seconds that a worker is paused")
    parser.add_argument("--settle", type=float, default=240, help="maximum seconds until all jobs have ended")
    parser.add_argument("--idle", type=float, default=75, help="seconds without a change after which the run ends")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args(argv)
    arguments.seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    sys.stdout.write(f"seed {arguments.seed}; logs in {folder}\n")
    sys.stdout.flush()
    names = list(DESIGNS)[::-1] if arguments.design == "both" else [arguments.design]
    runs = [run(arguments, DESIGNS[name], folder / name) for name in names]
    report(arguments.seed, runs)
    return 0 if all(chaos.agree() for chaos in runs if chaos.design.name == "ours") else 1


if __name__ == "__main__":
    sys.exit(main())
