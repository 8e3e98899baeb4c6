"""Faults on demand: rules that say which requests go wrong, and actions that say how.

A rule as JSON: `{"match": "trigger*", "count": 2, "action": {"status": 503}}`. It fires for requests whose
operation (`triggerImageGenerationJob`, `getJobStatus`, `listJobs`, `getModel`, …, or a pattern with `*`)
matches, after the first `after` of them, at most `count` times, each with `probability`. All rules that fire for
a request act together; where two say the same thing, the earlier rule wins.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.sandbox.wishes import Wish, first_fault
from worker.sandbox.world import JsonObject


class Action(BaseModel):
    """What goes wrong with one request; the fields that are set act together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency: float | None = Field(default=None, ge=0)
    """Seconds between the work and the answer."""
    latency_before: float | None = Field(default=None, ge=0)
    """Seconds before any work; a job made by the request is created that much later."""
    work: bool | None = None
    """Whether the work is done, where it should be otherwise than the action itself says."""

    status: int | None = Field(default=None, ge=200, le=599)
    """A NOK answer with this code, instead of any work."""
    status_after: int | None = Field(default=None, ge=200, le=599)
    """A NOK answer with this code after the work was done."""
    message: str | None = None
    """The message of a NOK answer."""
    retry_after: float | str | None = None
    """The Retry-After header of a NOK answer: seconds, or any text as it is."""
    retry_after_date: float | None = None
    """The Retry-After header as an HTTP date so many seconds ahead."""
    nok_200: bool | None = None
    """A NOK answer under code 200, instead of any work."""
    not_found: bool | None = None
    """404, instead of any work; with `younger_than_s` it is the 404 right after a trigger."""
    unauthorized: bool | None = None
    """401, instead of any work."""
    html: int | None = Field(default=None, ge=200, le=599)
    """A proxy's HTML page with this code, instead of any work."""

    drop: bool | None = None
    """The connection is closed before any work."""
    drop_after: bool | None = None
    """The work is done, then the connection is closed without an answer."""
    reset_half_body: bool | None = None
    """The work is done, but the connection is closed half way through the answer."""
    drip: float | None = Field(default=None, gt=0)
    """The body comes one byte at a time, so many seconds apart."""
    huge: int | None = Field(default=None, gt=0)
    """The work is done, and the answer is so many bytes of JSON."""
    garbage: bool | None = None
    """The work is done, and the answer is 200 with something that is no JSON."""
    missing_job_id: bool | None = None
    """The work is done, but the answer leaves jobId out."""

    odd_case: Literal["upper", "title"] | None = None
    """Job and model statuses are written in another case."""
    unknown_status: str | None = None
    """Every job or model has this status, whatever it has in truth, and no outputs."""
    wish: Wish | None = None
    """How a generation or training that this request starts goes, where its caller does not say."""

    list_lag_s: float | None = Field(default=None, ge=0)
    """GET /jobs tells what was true so many seconds ago."""
    list_order: Literal["oldest_first", "shuffled"] | None = None
    list_repeat: int | None = Field(default=None, ge=0)
    """Each page begins with the last so many entries of the page before."""
    list_lie: str | None = None
    """GET /jobs tells this status for entries that have another."""
    list_lie_fraction: float = Field(default=1.0, ge=0, le=1)
    """The share of jobs that `list_lie` is told about; always the same ones."""
    list_omit: float | None = Field(default=None, ge=0, le=1)
    """The share of jobs that GET /jobs never shows; always the same ones."""
    page_size: int | None = Field(default=None, gt=0)
    last_page: Literal["empty", "null"] | None = None
    """How GET /jobs marks its last page, otherwise by leaving nextPageToken out."""

    @property
    def works(self) -> bool:
        """Whether the request does its work."""
        if self.work is not None:
            return self.work
        refusals = (self.status, self.html, self.nok_200, self.not_found, self.unauthorized, self.drop)
        return not any(refusals)


CALM = Action()
"""The action of a request that no rule fires for."""


class Rule(BaseModel):
    """Which requests an action befalls."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str
    action: Action
    probability: float = Field(default=1.0, ge=0, le=1)
    count: int | None = Field(default=None, ge=0)
    """Fires at most so many times; for ever without."""
    after: int = Field(default=0, ge=0)
    """Lets the first so many matching requests pass."""
    id: str = "*"
    """A pattern for the job, model, image or video id in the path."""
    contains: str | None = None
    """Matches only requests whose body holds this text."""
    younger_than_s: float | None = None
    """Matches only while the job, or the training of the model, is younger."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What rules may look at in a request."""

    operation: str
    id: str
    body: bytes
    age_s: float | None
    """How long ago the job or training in question was triggered."""


@dataclass(slots=True)
class LiveRule:
    """A rule and how often it matched and fired."""

    rule: Rule
    matched: int = 0
    fired: int = 0

    def fires(self, incident: Incident, rng: Random) -> bool:
        """Whether the rule fires for this request; counts it either way."""
        if not _matches(self.rule, incident):
            return False
        self.matched += 1
        spent = self.rule.count is not None and self.fired >= self.rule.count
        if spent or self.matched <= self.rule.after or rng.random() >= self.rule.probability:
            return False
        self.fired += 1
        return True


class FaultBook:
    """The rules in force."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.live: list[LiveRule] = []

    def add(self, rules: list[Rule]) -> None:
        """Puts rules in force behind those there are."""
        self.live.extend(LiveRule(rule) for rule in rules)

    def clear(self) -> None:
        """Ends all faults."""
        self.live.clear()

    def befalls(self, incident: Incident) -> Action:
        """The action for one request: those of all rules that fire, merged."""
        merged: JsonObject = {}
        for live in self.live:
            if live.fires(incident, self._rng):
                merged = {**live.rule.action.model_dump(exclude_unset=True), **merged}
        return Action(**merged) if merged else CALM

    def as_json(self) -> list[JsonObject]:
        """The rules with their counts."""
        return [
            {**live.rule.model_dump(exclude_unset=True), "matched": live.matched, "fired": live.fired}
            for live in self.live
        ]


def parse_rules(value: Any) -> list[Rule]:
    """Reads one rule or a list of rules; what is none is a ValueError that names the field."""
    try:
        return [Rule.model_validate(item) for item in (value if isinstance(value, list) else [value])]
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None


def _matches(rule: Rule, incident: Incident) -> bool:
    if not fnmatchcase(incident.operation, rule.match) or not fnmatchcase(incident.id, rule.id):
        return False
    if rule.younger_than_s is not None and (incident.age_s is None or incident.age_s >= rule.younger_than_s):
        return False
    return rule.contains is None or rule.contains.encode() in incident.body
