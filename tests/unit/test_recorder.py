"""Recording: off by default and then without cost, on with every series from the start."""

from __future__ import annotations

import subprocess
import sys

from prometheus_client import CollectorRegistry

from worker import __version__
from worker.domain.lane import Lane
from worker.telemetry import recorder
from worker.telemetry.labels import ApiOutcome, LoopPart, Operation
from worker.telemetry.logs import event
from worker.telemetry.metric import Source
from worker.telemetry.metrics import API_REQUESTS, LANE_LATENESS, LOG_EVENTS, LOOP_AGE, METRICS, READY


def names(registry: CollectorRegistry) -> set[str]:
    """Return the names of all samples of ours."""
    found = {sample.name for family in registry.collect() for sample in family.samples}
    return {name for name in found if name.startswith("photogpt_")}


def test_every_series_is_there_from_the_start(registry: CollectorRegistry) -> None:
    """All metrics of a worker are served before anything happened, and no others."""
    assert names(registry) == {
        name for metric in METRICS if metric.source is Source.WORKER for name in metric.sample_names
    }
    assert registry.get_sample_value("photogpt_build_info", {"version": __version__}) == 1


def test_values_are_recorded(registry: CollectorRegistry) -> None:
    """Counters, histograms and gauges have what was recorded; a negative duration counts as 0."""
    recorder.count(API_REQUESTS, Operation.TRIGGER, ApiOutcome.OK)
    recorder.count(API_REQUESTS, Operation.TRIGGER, ApiOutcome.OK)
    recorder.observe(LANE_LATENESS, -3.0, Lane.JOBS)
    recorder.set_gauge(READY, 1)
    recorder.read_gauge(LOOP_AGE, lambda: 7.0, LoopPart.CONSUMER)
    value = registry.get_sample_value
    assert value(API_REQUESTS.name, {"operation": "trigger", "outcome": "ok"}) == 2
    assert value("photogpt_lane_lateness_seconds_sum", {"lane": "jobs"}) == 0
    assert value("photogpt_lane_lateness_seconds_bucket", {"lane": "jobs", "le": "0.05"}) == 1
    assert (value(READY.name), value(LOOP_AGE.name, {"part": "consumer"})) == (1, 7)


def test_log_events_are_counted(registry: CollectorRegistry) -> None:
    """Each line of the log counts under its event, also one below the log level."""
    event("job.accepted", "the job waits", job="1")
    assert registry.get_sample_value(LOG_EVENTS.name, {"event": "job.accepted"}) == 1


def test_a_value_outside_of_the_labels_makes_no_series(registry: CollectorRegistry) -> None:
    """A value that is in no enumeration adds no series and raises nothing."""
    before = [sample for family in registry.collect() for sample in family.samples]
    recorder.count(API_REQUESTS, "a word of PhotoGPT's", "ok")
    assert len([sample for family in registry.collect() for sample in family.samples]) == len(before)


def test_without_the_setting_the_client_library_is_not_imported() -> None:
    """A worker without PHOTOGPT_HTTP_ADDRESS does not import Prometheus' client."""
    code = "import sys, worker.tasks, worker.queue.consumer; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_recording_does_nothing_before_the_start() -> None:
    """Until recording starts, calls do nothing."""
    recorder.count(API_REQUESTS, Operation.TRIGGER, ApiOutcome.OK)
    recorder.observe(LANE_LATENESS, 1.0, Lane.JOBS)
    recorder.set_gauge(READY, 1)
    assert recorder._children == {}
