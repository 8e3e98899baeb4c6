"""The sandbox as one object: options, records, counters, API keys and fault rules."""

import json
import time
from dataclasses import replace
from random import Random

from worker.sandbox.faults.limits import TokenBucket
from worker.sandbox.faults.rules import FaultRules, parse_rules
from worker.sandbox.options import SandboxOptions
from worker.sandbox.state.archive import Archive
from worker.sandbox.state.counters import Counters
from worker.sandbox.state.journal import Journal
from worker.sandbox.state.records import JsonObject, Model


class Sandbox:
    """The state that operations and the control API work on."""

    def __init__(self, options: SandboxOptions) -> None:
        self.started_with = options
        self.options = options
        self.archive = Archive(Journal(options.journal) if options.journal else None)
        self._start()

    def reset(self) -> None:
        """Delete all records and start again with the options and fault rules of the start."""
        self.archive.clear()
        self._start()

    def change_options(self, changes: JsonObject) -> None:
        """Replace options by name while running."""
        self.options = replace(self.options, **changes)
        self.bucket = None
        if self.options.rate_limit is not None:
            self.bucket = TokenBucket.full(self.options.rate_limit, time.time())

    def draw_duration(self, kind: str) -> float:
        """Draw the duration, in seconds, of the next generation of a kind."""
        return self.options.durations[kind].draw(self.rng)

    def age_of(self, operation: str, subject_id: str, now: float) -> float | None:
        """Return the seconds since the trigger of the job or training that a request names, or None without one."""
        generation = self.archive.generations.get(subject_id)
        if generation is None and operation == "getModel" and subject_id in self.archive.models:
            generation = self.archive.training_of(self.archive.models[subject_id])
        return None if generation is None else now - generation.created_at

    def _start(self) -> None:
        self.options = self.started_with
        self.change_options({})
        self.rng = Random(self.options.seed)
        self.counters = Counters()
        self.keys = set(self.options.keys)
        self.faults = FaultRules(Random(self.options.seed))
        if self.options.faults is not None:
            self.faults.add(parse_rules(json.loads(self.options.faults.read_text(encoding="utf-8"))))
        for text in self.options.models:
            self._add_model(*text.partition("=")[::2])

    def _add_model(self, model_id: str, status: str) -> None:
        if model_id not in self.archive.models:
            now = time.time()
            self.archive.put(Model(id=model_id, status=status or "new", created_at=now, updated_at=now))
