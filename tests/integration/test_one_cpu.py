"""The threads of a worker, and the CPU on which they run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import WorkerProcess
from tests.waiting import wait_until

CPUS = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
pytestmark = pytest.mark.skipif(
    len(CPUS) < 2, reason="there is one CPU only, or the system moves threads by other means"
)

SETTLES = """
import os, subprocess, sys, threading, time
from worker.queue.one_cpu import OneCpu
def cpu_of_all():
    masks = {frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir("/proc/self/task")}
    assert len(masks) == 1 and len(min(masks)) == 1, masks
    return min(min(masks))
one_cpu, ends = OneCpu(), threading.Event()
def spin():
    while not ends.is_set(): pass
threading.Thread(target=spin).start()
one_cpu.settle()
first, ends_at = cpu_of_all(), time.monotonic() + 30
allowed = one_cpu._allowed
one_cpu._allowed = allowed - {first} | {1 + max(allowed)}  # else a busy machine may have no free CPU
with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbor:  # it runs on the same CPU only
    while cpu_of_all() == first and time.monotonic() < ends_at:
        time.sleep(0.05)
        one_cpu.settle()
    neighbor.kill()
print("left" if cpu_of_all() != first else "stayed")
ends.set()
one_cpu._allowed = allowed
one_cpu.leave()
print(len(os.sched_getaffinity(0)))
"""


def cpus_of(pid: int) -> set[str]:
    """Return the lists of CPUs on which the threads of a process may run."""
    return {
        line.split()[1]
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("Cpus_allowed_list")
    }


def test_the_threads_of_a_worker_run_on_one_cpu(worker: WorkerProcess) -> None:
    """All threads of a worker may run on one CPU, the same for all, which is one of those that the worker was given."""
    wait_until(
        lambda: cpus_of(worker.child.pid) in [{str(cpu)} for cpu in CPUS], "all threads may run on the same CPU only"
    )


def test_threads_leave_a_cpu_on_which_they_wait() -> None:
    """Threads that wait for their CPU move to another CPU, all of them; `leave` frees the caller."""
    settled = subprocess.run([sys.executable, "-c", SETTLES], capture_output=True, text=True, timeout=60, check=False)

    assert settled.stdout.split() == ["left", str(len(CPUS))], settled.stderr
