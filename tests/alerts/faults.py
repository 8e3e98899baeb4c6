"""What can happen to a service, and the one alert that has to fire for it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

import redis

from tests.alerts.stage import Stage

SERVER_ERROR = {"match": "getJobStatus", "probability": 0.5, "action": {"status": 503}}
SLOW = {"match": "getJobStatus", "action": {"latency": 0.5}}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that begins and ends."""

    alert: str
    begin: Callable[[Stage], None]
    end: Callable[[Stage], None]


def kill_redis(stage: Stage) -> None:
    """Kill Valkey, which is store and broker."""
    stage.valkey.child.kill()


def start_redis(stage: Stage) -> None:
    """Start Valkey again, on the same port and data."""
    stage.valkey.start()


def empty_redis(stage: Stage) -> None:
    """Remove everything from Valkey, as a restart without its file would."""
    with redis.Redis.from_url(stage.valkey.url) as client:
        client.flushall()


def reject_key(stage: Stage) -> None:
    """Let PhotoGPT reject the key, and enqueue a job."""
    stage.sandbox.control.keys(revoke=[stage.sandbox.key])
    stage.send()


def accept_key(stage: Stage) -> None:
    """Let PhotoGPT accept the key again."""
    stage.sandbox.control.keys(add=[stage.sandbox.key])


def freeze_one_worker(stage: Stage) -> None:
    """Stop one of two workers with SIGSTOP."""
    stage.workers[0].child.send_signal(signal.SIGSTOP)


def freeze_every_worker(stage: Stage) -> None:
    """Stop both workers with SIGSTOP, and enqueue jobs."""
    stage.send(5)
    for worker in stage.workers:
        worker.child.send_signal(signal.SIGSTOP)


def resume_workers(stage: Stage) -> None:
    """Let frozen workers go on."""
    for worker in stage.workers:
        worker.child.send_signal(signal.SIGCONT)


def kill_exporter(stage: Stage) -> None:
    """Kill the exporter."""
    stage.exporter.kill()


def break_receiver(stage: Stage) -> None:
    """Let the receiver refuse every webhook, and enqueue jobs with webhooks."""
    stage.receiver.answers = lambda _: 503
    stage.send(12, webhook_url=stage.receiver.url)


def repair_receiver(stage: Stage) -> None:
    """Let the receiver accept webhooks again."""
    stage.receiver.answers = lambda _: 204


def overload(stage: Stage) -> None:
    """Enqueue more jobs than two workers can poll while PhotoGPT is slow."""
    stage.sandbox.control.faults(SLOW)
    stage.send(400, duration_s=3600)


def end_overload(stage: Stage) -> None:
    """Let PhotoGPT answer quickly again, and end its generations."""
    stage.sandbox.control.clear()
    stage.sandbox.control.faults({"match": "getJobStatus", "action": {"not_found": False}})


def fail_requests(stage: Stage) -> None:
    """Let PhotoGPT answer half of the polls with 503, and enqueue jobs."""
    stage.sandbox.control.faults(SERVER_ERROR)
    stage.send(40, duration_s=120)


def clear_faults(stage: Stage) -> None:
    """Let PhotoGPT work again."""
    stage.sandbox.control.clear()


def fail_jobs(stage: Stage) -> None:
    """Enqueue jobs whose generations fail."""
    stage.send(40, end="failed")


def do_nothing(stage: Stage) -> None:
    """Wait until the alert clears."""
    del stage


FAULTS = {
    "Redis is killed": Fault("PhotoGPTRedisUnavailable", kill_redis, start_redis),
    "Redis is emptied": Fault("PhotoGPTRedisDataLost", empty_redis, do_nothing),
    "PhotoGPT rejects the key": Fault("PhotoGPTKeyRejected", reject_key, accept_key),
    "one of two workers is frozen": Fault("PhotoGPTWorkerStuck", freeze_one_worker, resume_workers),
    "every worker is frozen": Fault("PhotoGPTNoWorker", freeze_every_worker, resume_workers),
    "the exporter is killed": Fault("PhotoGPTExporterDown", kill_exporter, Stage.start_exporter),
    "a receiver refuses webhooks": Fault("PhotoGPTEndpointFailing", break_receiver, repair_receiver),
    "PhotoGPT answers with errors": Fault("PhotoGPTApiErrors", fail_requests, clear_faults),
    "generations fail": Fault("PhotoGPTJobsFail", fail_jobs, do_nothing),
    "more work comes than workers can do": Fault("PhotoGPTBacklogGrows", overload, end_overload),
}
