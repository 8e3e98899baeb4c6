"""The sandbox as one object: options, records, counts, keys and faults, and the requests put to it."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

from worker.sandbox.answers import Refusal
from worker.sandbox.archive import Archive
from worker.sandbox.counters import Counters
from worker.sandbox.faults import CALM, Action, FaultBook, parse_rules
from worker.sandbox.journal import Journal
from worker.sandbox.limits import Bucket
from worker.sandbox.options import SandboxOptions
from worker.sandbox.world import JsonObject, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to the API, routed but not yet checked."""

    operation: str
    id: str
    """The id in the path, or an empty text."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now: float
    action: Action = field(default=CALM)
    """The fault that befalls it."""

    def json(self) -> JsonObject:
        """The body as a JSON object, or a refusal."""
        try:
            body = json.loads(self.body)
        except ValueError as error:
            raise Refusal(400, "The body is not valid JSON.", str(error)) from None
        if not isinstance(body, dict):
            raise Refusal(400, "The body is not a JSON object.")
        return body


class Sandbox:
    """All that operations work on."""

    def __init__(self, options: SandboxOptions) -> None:
        self.started_with = options
        self.options = options
        self.archive = Archive(Journal(options.journal) if options.journal else None)
        self._begin()

    def reset(self) -> None:
        """Forgets everything and begins again with the options of the start, faults of the start included."""
        self.archive.clear()
        self._begin()

    def change_options(self, changes: JsonObject) -> None:
        """Replaces options by name while running."""
        self.options = replace(self.options, **changes)
        self.bucket = None
        if self.options.rate_limit is not None:
            self.bucket = Bucket.full(self.options.rate_limit, time.time())

    def draw_duration(self, kind: str) -> float:
        """The duration of the next generation of a kind."""
        return self.options.durations[kind].draw(self.rng)

    def model(self, model_id: str) -> Model:
        """An own model, or a refusal."""
        model = self.archive.models.get(model_id)
        if model is None:
            raise Refusal(404, "Model not found.", f"no model {model_id}")
        return model

    def usable_model(self, model_id: str) -> Model:
        """An own model that was not deleted, or a refusal."""
        model = self.model(model_id)
        if model.status == "deleted":
            raise Refusal(404, "Model not found.", f"model {model_id} was deleted")
        return model

    def age_of(self, operation: str, subject_id: str, now: float) -> float | None:
        """How long ago the job or training that a request asks about was triggered."""
        generation = self.archive.generations.get(subject_id)
        if generation is None and operation == "getModel" and subject_id in self.archive.models:
            generation = self.archive.training_of(self.archive.models[subject_id])
        return None if generation is None else now - generation.created_at

    def _begin(self) -> None:
        self.options = self.started_with
        self.change_options({})
        self.rng = Random(self.options.seed)
        self.counters = Counters()
        self.keys = set(self.options.keys)
        self.faults = FaultBook(Random(self.options.seed))
        if self.options.faults is not None:
            self.faults.add(parse_rules(json.loads(self.options.faults.read_text(encoding="utf-8"))))
        for seed in self.options.models:
            self._seed_model(*seed.partition("=")[::2])

    def _seed_model(self, model_id: str, status: str) -> None:
        if model_id not in self.archive.models:
            now = time.time()
            self.archive.put(Model(id=model_id, status=status or "new", created_at=now, updated_at=now))


def new_id(prefix: str) -> str:
    """An id that is unique across restarts: a word and 32 hexadecimal digits."""
    return f"{prefix}_{uuid.uuid4().hex}"
