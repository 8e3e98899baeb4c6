"""Fault rules: which requests go wrong, and with which action.

A rule as JSON: `{"match": "trigger*", "count": 2, "action": {"status": 503}}`. It fires for requests whose
operation (`triggerImageGenerationJob`, `getJobStatus`, `getVideoDownload`, `mediaImage`, …, or a pattern with `*`)
matches, after the first `after` of them, at most `count` times, each with `probability`. All rules that fire for
a request act together; where two set the same field, the earlier rule wins.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.sandbox.faults.actions import NO_FAULT, Action
from worker.sandbox.faults.directives import first_error
from worker.sandbox.state.records import JsonObject


class Rule(BaseModel):
    """An action, and which requests it applies to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str
    action: Action
    probability: float = Field(default=1.0, ge=0, le=1)
    count: int | None = Field(default=None, ge=0)
    """Fires at most this many times; without it, always."""
    after: int = Field(default=0, ge=0)
    """Lets this many matching requests pass first."""
    id: str = "*"
    """A pattern for the job, model, image or video id in the path."""
    contains: str | None = None
    """Matches only requests whose body holds this text."""
    younger_than_s: float | None = None
    """Matches only while the job, or the training of the model, is younger."""


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """The facts of a request that rules can match."""

    operation: str
    id: str
    body: bytes
    age_s: float | None
    """Seconds since the job or training that the request names was triggered."""


@dataclass(slots=True)
class ActiveRule:
    """A rule in force, with how often it matched and fired."""

    rule: Rule
    matched: int = 0
    fired: int = 0

    def fires(self, facts: RequestFacts, rng: Random) -> bool:
        """Return whether the rule fires for this request; count the match either way."""
        if not _matches(self.rule, facts):
            return False
        self.matched += 1
        spent = self.rule.count is not None and self.fired >= self.rule.count
        if spent or self.matched <= self.rule.after or rng.random() >= self.rule.probability:
            return False
        self.fired += 1
        return True


class FaultRules:
    """The rules in force."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.active: list[ActiveRule] = []

    def add(self, rules: list[Rule]) -> None:
        """Append rules to those in force."""
        self.active.extend(ActiveRule(rule) for rule in rules)

    def clear(self) -> None:
        """Remove all rules."""
        self.active.clear()

    def apply(self, facts: RequestFacts) -> Action:
        """Return the action for one request, merged from all rules that fire."""
        merged: JsonObject = {}
        for active in self.active:
            if active.fires(facts, self._rng):
                merged = {**active.rule.action.model_dump(exclude_unset=True), **merged}
        return Action(**merged) if merged else NO_FAULT

    def as_json(self) -> list[JsonObject]:
        """Return the rules with their counts."""
        return [
            {**active.rule.model_dump(exclude_unset=True), "matched": active.matched, "fired": active.fired}
            for active in self.active
        ]


def parse_rules(value: Any) -> list[Rule]:
    """Parse one rule or a list of rules.

    Raises:
        ValueError: the value is not a rule; the message names the field.
    """
    try:
        return [Rule.model_validate(item) for item in (value if isinstance(value, list) else [value])]
    except ValidationError as error:
        raise ValueError(first_error(error)) from None


def _matches(rule: Rule, facts: RequestFacts) -> bool:
    if not fnmatchcase(facts.operation, rule.match) or not fnmatchcase(facts.id, rule.id):
        return False
    if rule.younger_than_s is not None and (facts.age_s is None or facts.age_s >= rule.younger_than_s):
        return False
    return rule.contains is None or rule.contains.encode() in facts.body
