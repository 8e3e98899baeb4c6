"""Resolves an open intent: a trigger whose answer was lost, so that the job may have been paid for or not.

PhotoGPT documents no idempotency key; GET /jobs is the only source (photogpt/api.md, section 12). An unknown generation
is one that no job of ours is known to have triggered; a candidate is one that this job may have created, by the rule in
`worker/steps/candidates.py`. A generation that is created or listed later than that rule allows is missed.

| candidates | other unresolved jobs that may have created them | decision |
| --- | --- | --- |
| none, before twice the settling time | any | ask again then, since a list may lag |
| none, later | any | nothing was created: trigger again |
| one, which PhotoGPT shows | none | adopt it |
| one or more | some, before four times the settling time | wait: the candidates may belong to those jobs |
| some that PhotoGPT does not find, before that time | any | wait: they may be of another model |
| none, but PhotoGPT accepted the trigger without an id | any | ask up to four times the settling time, then fail |
| none, and the list lacks all that PhotoGPT has named since | any | the same: the list is incomplete |
| anything else | any | `failed`, `trigger_uncertain`, naming the candidates: no second payment on a guess |

Only the deadline limits how often "trigger again" happens: behind a gateway that answers 502 and creates nothing, a
retry is right, and a generation that was created would be listed. Each retry waits twice as long as the one before,
from twice the settling time on, so that a list which leaves out generations costs a few of them, not one a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from worker.domain.backoff import MAX_RETRY_AFTER_S, obeying
from worker.domain.decision import Decision, Finish, Reschedule, Submitted
from worker.domain.errors import ApiError, MissingGenerationId
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.services import Services
from worker.steps.candidates import MIN_SETTLES, Candidate, find_candidates, has_competitor
from worker.steps.search import MAX_SETTLES, Search, SharedSearch, search_interval_s
from worker.telemetry.logs import event

MAX_RETRIGGER_S = 600.0  # before a trigger is sent once more
MAX_NAMED = 20  # candidates in an error message, which goes into every record and webhook of the job

_shared = SharedSearch()


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """An open intent of one job, and the times that decide about it. Times are epoch seconds."""

    job: Job
    triggered_at: float
    now: float
    #: When the search of the list began: what happened at PhotoGPT later does not count.
    as_of: float
    settle_s: float

    @property
    def settled(self) -> bool:
        """Whether a list without a candidate counts."""
        return self.as_of >= self.triggered_at + MIN_SETTLES * self.settle_s

    @property
    def candidates_wait(self) -> bool:
        """Whether to wait for other unresolved jobs, or for a generation that is not listed yet."""
        return self.as_of < self.triggered_at + MAX_SETTLES * self.settle_s

    def seconds_until(self, settles: int) -> float:
        """Return the seconds until so many settling times after the trigger; 0 if they have passed."""
        return max(0.0, self.triggered_at + settles * self.settle_s - self.now)


def after_lost_answer(services: Services, job: Job, error: ApiError) -> Decision:
    """Decide what follows a trigger without a clear answer."""
    policy = services.settings.uncertain_policy
    accepted = isinstance(error, MissingGenerationId)
    event(
        "trigger.unresolved",
        f"{error}; PHOTOGPT_UNCERTAIN_POLICY={policy} decides",
        job=job.id,
        policy=policy,
        warn=True,
    )
    if policy == "fail":  # `reconcile` ends the job, since only a step that has claimed the intent may do so
        return Reschedule(after=0, reason=error.reason, error=str(error), accepted_without_id=accepted)
    if policy == "retry" and not accepted:
        return Reschedule(after=1.0, reason=error.reason, error=str(error), clear_intent=True)
    message = f"{error}; PhotoGPT's job list is checked for its generation"
    wait = services.settings.uncertain_settle_s
    return Reschedule(after=wait, reason=error.reason, error=message, accepted_without_id=accepted)


def reconcile(services: Services, job: Job, at: float) -> Decision:
    """Find out what became of an open intent.

    Args:
        services: the process' clients.
        job: with `intent_at` set.
        at: Redis' time, epoch seconds.
    """
    policy, settle_s = services.settings.uncertain_policy, services.settings.uncertain_settle_s
    triggered_at = job.intent_at or at
    if policy == "fail":
        lost = job.error or "the worker was killed before PhotoGPT's answer was stored"
        return _uncertain(job, f"{lost}; a generation may exist and be charged", [])
    if policy == "retry" and not job.accepted_without_id:
        return Reschedule(after=0, clear_intent=True)
    if at < triggered_at + settle_s:
        return _wait(job, triggered_at + settle_s - at)
    intent = Intent(job=job, triggered_at=triggered_at, now=at, as_of=at, settle_s=settle_s)
    try:
        if job.kind is Kind.TRAINING:
            return _reconcile_training(services, intent)
        return _reconcile_generation(services, intent)
    except ApiError as error:
        wait = obeying(error.retry_after, settle_s, cap=MAX_RETRY_AFTER_S)
        return Reschedule(after=wait, reason=error.reason, error=str(error))


def _reconcile_training(services: Services, intent: Intent) -> Decision:
    """Read the model's status before a second trigger (photogpt/api.md, section 12, point 1)."""
    job = intent.job
    seen = services.photogpt.model(job.model_id or "")
    if seen.fingerprint == job.model_fingerprint_before or seen.status == "new":
        return _no_candidate(services, intent)
    event("trigger.adopted", f"the lost trigger worked: the model is {seen.status}", job=job.id, model=job.model_id)
    return Submitted(None)


def _reconcile_generation(services: Services, intent: Intent) -> Decision:
    job = intent.job
    search = _shared.result(services, intent.triggered_at, intent.now)
    if not isinstance(search, Search):
        return _wait(job, search)
    intent = replace(intent, as_of=search.began_at)
    candidates = find_candidates(services, job, intent.triggered_at, search)
    if not candidates:
        named = services.store.generations.between(intent.triggered_at, intent.as_of - intent.settle_s)
        incomplete = bool(named) and search.listed.keys().isdisjoint(named)
        return _no_candidate(services, intent, list_incomplete=incomplete)
    contested = has_competitor(services, job, candidates, search)
    names = [one.id for one in candidates]
    if services.store.generations.unknown(names) != names:
        return _wait(job, 1.0)  # a competing job got its answer just now: one candidate fewer
    unclear = contested or any(not _is_certain(intent, one, search) for one in candidates)
    if len(candidates) == 1 and not unclear:
        event("trigger.adopted", "the lost trigger worked", job=job.id, generation=names[0])
        return Submitted(names[0])
    if unclear and intent.candidates_wait:
        return _wait(job, intent.settle_s)
    found = "a generation" if len(names) == 1 else f"{len(names)} generations"
    return _uncertain(job, f"PhotoGPT's answer was lost, and {found} may be its own", names)


def _is_certain(intent: Intent, candidate: Candidate, search: Search) -> bool:
    """Return whether PhotoGPT shows that the job may have created a candidate: its model, and that it is not older."""
    older = candidate.created_at is None and search.start < intent.triggered_at
    return candidate.readable and not older


def _no_candidate(services: Services, intent: Intent, *, list_incomplete: bool = False) -> Decision:
    """Ask once more if it is early; else trigger again, unless PhotoGPT accepted it or its list is incomplete."""
    job, settle_s = intent.job, intent.settle_s
    if not intent.settled:
        return _wait(job, intent.seconds_until(MIN_SETTLES) or search_interval_s(services))
    if job.accepted_without_id or list_incomplete:
        if intent.candidates_wait:
            return _wait(job, min(settle_s, intent.seconds_until(MAX_SETTLES) or search_interval_s(services)))
        if job.accepted_without_id:
            return _uncertain(job, "PhotoGPT accepted the trigger without an id and lists no generation for it", [])
        return _uncertain(job, "PhotoGPT's answer was lost, and its list lacks every generation created since", [])
    lost = services.store.jobs.count(job.id, "lost")
    backoff = MIN_SETTLES * settle_s * (2 ** min(max(lost - 1, 0), 20) - 1)
    wait = min(MAX_RETRIGGER_S, backoff, max(0.0, job.deadline_at - intent.now))
    event(
        "trigger.retried",
        f"PhotoGPT created nothing: triggered again in {wait:.0f} s",
        job=job.id,
        retry_in_s=round(wait),
    )
    return Reschedule(after=wait, clear_intent=True)


def _wait(job: Job, seconds: float) -> Reschedule:
    return Reschedule(after=seconds, reason=job.reason, error=job.error)


def _uncertain(job: Job, problem: str, candidates: list[str]) -> Finish:
    names = f": {', '.join(candidates[:MAX_NAMED])}" if candidates else ""
    if len(candidates) > MAX_NAMED:
        names += f" and {len(candidates) - MAX_NAMED} others"
    error = f"{problem}{names}. Job {job.id} was not triggered again, since that could pay twice"
    return Finish(JobResult(state=JobState.FAILED, reason=Reason.TRIGGER_UNCERTAIN, error=error))
