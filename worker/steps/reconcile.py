"""A trigger whose answer was lost: may have been paid for, or not. Settled before anybody asks again.

PhotoGPT documents no idempotency key; the only aid is GET /jobs (photogpt/api.md, section 12). The table:

| generations that nobody knows and that may be it | other jobs in doubt that may have made them | what follows |
| --- | --- | --- |
| none, and the settling time has not passed twice | any | look once more then: a list may lag |
| none, later | any | nothing was created: trigger again |
| one | none | it is ours: adopt it |
| one or more | some, still being asked | wait: they may claim theirs |
| none, but PhotoGPT said yes and named nothing | any | look until four times the settling time, then as below |
| none, nor any that it has named to us since | any | the same: such a list is no witness |
| anything else | | `failed`, `trigger_uncertain`, naming the candidates; nobody pays twice on a guess |

How often "trigger again" may follow is bounded by the deadline alone: behind a gateway that says 502 and creates
nothing, asking again is right, and a generation that it did create would be on the list. But each time takes twice as
long as the one before, from twice the settling time on, so that a list which leaves out what was created costs a few
generations, not one a minute.

May be it: of no other model, and created between the intent and twice the settling time later, give or take the skew of
clocks: what the settings allow, and beyond that what the Date of PhotoGPT's answers tells. What this cannot see is a
generation that is created, or listed, later than that.
"""

from __future__ import annotations

import json
import math

from worker.domain.backoff import obeying
from worker.domain.decision import Decision, Finish, Reschedule, Submitted
from worker.domain.errors import ApiError, MissingGenerationId, Refused
from worker.domain.job import Job, JobState, Kind
from worker.domain.outcome import JobResult
from worker.domain.reason import Reason
from worker.domain.times import parse_time
from worker.photogpt.client import ModelStatus
from worker.services import Services
from worker.telemetry.logs import event

PATIENCE = 4  # times the settling time, while other jobs in doubt may still find theirs, or a yes its generation
SURE = 2  # times the settling time, before a list that does not show a generation is believed
MAX_KNOWN = 10_000  # generations whose model is remembered
MAX_WAIT_S = 600.0  # that a Retry-After is believed, and before a trigger is sent once more
MAX_APART_S = 86_400  # that two clocks are believed to be apart; GET /jobs shows a week at most


def settle(services: Services, job: Job, error: ApiError) -> Decision:
    """Decide what follows a trigger without a clear answer."""
    policy, wait = services.settings.uncertain_policy, services.settings.uncertain_settle_s
    accepted_without_id = isinstance(error, MissingGenerationId)
    event("trigger.unresolved", f"{error}. Policy: {policy}", job=job.id, warn=True)
    if policy == "fail":  # by `reconcile`, which sees the intent; who did not may not end a job that has one
        return Reschedule(after=0, reason=error.reason, error=str(error), accepted_without_id=accepted_without_id)
    if policy == "retry" and not accepted_without_id:
        return Reschedule(after=1.0, reason=error.reason, error=str(error), clear_intent=True)
    sought = f"{error}; what became of it is looked up"
    return Reschedule(after=wait, reason=error.reason, error=sought, accepted_without_id=accepted_without_id)


def reconcile(services: Services, job: Job, at: float) -> Decision:
    """Find out what became of an open intent.

    Args:
        services: the process' clients.
        job: with `intent_at` set.
        at: Redis' time, epoch seconds.
    """
    asked = job.intent_at or at
    early = asked + services.settings.uncertain_settle_s - at
    retry = (
        services.settings.uncertain_policy == "retry" and not job.accepted_without_id
    )  # that is no doubt to try one's luck in
    if services.settings.uncertain_policy == "fail":
        lost = job.error or "the worker died before PhotoGPT's answer was written down"
        return _uncertain(job, f"{lost}; it may have been created and charged", [])
    if retry:
        return Reschedule(after=0, clear_intent=True)
    if early > 0:
        return Reschedule(after=early, reason=job.reason, error=job.error)
    try:
        if job.kind is Kind.TRAINING:
            return _training(services, job, asked, at)
        return _generation(services, job, asked, at)
    except ApiError as error:
        wait = obeying(error.retry_after, services.settings.uncertain_settle_s, cap=MAX_WAIT_S)
        return Reschedule(after=wait, reason=error.reason, error=str(error))


def model_fingerprint(seen: ModelStatus) -> str:
    """Return how a model is, to tell later whether it has changed since."""
    return json.dumps([seen.status, seen.updated_at])


def _training(services: Services, job: Job, asked: float, at: float) -> Decision:
    """Read the model's status before asking again (photogpt/api.md, section 12, point 1)."""
    seen = services.photogpt.model(job.model_id or "")
    if model_fingerprint(seen) == job.model_fingerprint_before or seen.status == "new":
        return _nothing(services, job, asked, at)
    event("trigger.adopted", f"the model is {seen.status}: the lost trigger had worked", job=job.id)
    return Submitted(None)


def _generation(services: Services, job: Job, asked: float, at: float) -> Decision:
    settle_s = services.settings.uncertain_settle_s
    listed, skew = _listed(services, asked, at)
    # in this order: a job that gets its answer meanwhile is a rival still, or its generation is known already
    in_doubt = [name for name in services.store.jobs.intents_since(asked - 2 * skew) if name != job.id]
    latest = asked + SURE * settle_s + skew
    early_enough = [name for name, made in sorted(listed.items()) if made is None or made <= latest]
    unknown = services.store.jobs.unknown_generations(early_enough)
    patient = at < asked + PATIENCE * settle_s
    unknown = [name for name in unknown if is_candidate(services, job, name, patient=patient)]
    if not unknown:
        named = services.store.jobs.generations_between(asked, at - settle_s)
        return _nothing(services, job, asked, at, list_incomplete=bool(named) and listed.keys().isdisjoint(named))
    made = [listed[candidate] for candidate in unknown]
    verdicts = {competing_intents(services, name, made, skew) for name in in_doubt}
    if None in verdicts:  # what was unknown a moment ago may be known by now
        return Reschedule(after=1.0, reason=job.reason, error=job.error)
    rivals = True in verdicts
    if len(unknown) == 1 and not rivals:
        event("trigger.adopted", "the lost trigger had worked", job=job.id, generation=unknown[0])
        return Submitted(unknown[0])
    if rivals and patient:
        return Reschedule(after=settle_s, reason=job.reason, error=job.error)
    return _uncertain(job, f"PhotoGPT's answer was lost, and {len(unknown)} generations may be it", unknown)


def _listed(services: Services, asked: float, at: float) -> tuple[dict[str, float | None], float]:
    """Return what PhotoGPT lists since an intent, with times of creation, and how far its clock may be from ours."""
    allowed = services.settings.clock_skew_s
    listed = _created_between(services, asked - allowed, at + allowed)
    skew = _skew(services, allowed)  # after an answer, which tells PhotoGPT's time
    if skew > allowed:
        told = f"PhotoGPT's clock is further from Redis' than PHOTOGPT_CLOCK_SKEW_S; {skew:.0f} s are allowed for"
        event("clock.skewed", told, warn=True)
        listed = _created_between(services, asked - skew, at + skew)
    return listed, skew


def _created_between(services: Services, start: float, end: float) -> dict[str, float | None]:
    """When PhotoGPT says that it created its generations of a window, epoch seconds; None if it does not say so."""
    listed = services.photogpt.generations_between(start, end)
    return {str(seen["jobId"]): parse_time(seen.get("createdAt")) for seen in listed}


def _skew(services: Services, allowed: float) -> float:
    apart = abs(services.photogpt.clock_offset_s(services.store.clock()) or 0.0)
    return allowed if apart <= allowed else allowed + min(math.ceil(apart), MAX_APART_S)


def competing_intents(services: Services, other_id: str, created: list[float | None], skew: float) -> bool | None:
    """Whether another job in doubt was asked for early enough to have made one of the candidates.

    None: it has just got its answer, so that one of the candidates may be known to be its own by now.
    """
    try:
        other = services.store.jobs.get(other_id)
    except (ValueError, KeyError):  # its record cannot be read
        return True
    if other is None:
        return False
    if other.intent_at is None:
        return None
    return any(at is None or at >= other.intent_at - skew for at in created)


def _nothing(services: Services, job: Job, asked: float, at: float, *, list_incomplete: bool = False) -> Decision:
    """PhotoGPT shows nothing that may be it: look once more if it is early, and else ask again.

    Not where it said yes, nor where its list is blind: of what it has named to us since, it shows nothing either.
    """
    settle_s = services.settings.uncertain_settle_s
    early = asked + SURE * settle_s - at
    if early <= 0 and (job.accepted_without_id or list_incomplete):
        early = min(settle_s, asked + PATIENCE * settle_s - at)
    if early > 0:
        return Reschedule(after=early, reason=job.reason, error=job.error)
    if job.accepted_without_id:
        return _uncertain(job, "PhotoGPT said yes, named no generation and lists none that may be it", [])
    if list_incomplete:
        return _uncertain(job, "PhotoGPT's answer was lost, and its list shows nothing that it has created since", [])
    lost = services.store.jobs.count_lost(job.id)
    wait = min(MAX_WAIT_S, SURE * settle_s * (2 ** min(max(lost - 1, 0), 20) - 1), max(0.0, job.deadline_at - at))
    event("trigger.settled", f"PhotoGPT created nothing: triggered again in {wait:.0f} s", job=job.id)
    return Reschedule(after=wait, clear_intent=True)


def is_candidate(services: Services, job: Job, generation_id: str, *, patient: bool) -> bool:
    """Whether a generation that nobody knows can be this job's.

    GET /jobs lists trainings too, under ids that their trigger never told; what belongs to another model, or to a
    model that we have trained lately, is not it. One that cannot be looked at is waited for, and then may be it: or it
    alone would leave all in doubt around it to their deadlines.

    Raises:
        ApiError: it cannot be looked at now, and there is patience left.
    """
    try:
        model_id = _model_of(services, generation_id)
    except ApiError as error:
        if patient and not isinstance(error, Refused):  # which is listed, and not to be looked at yet
            raise
        return True
    if model_id is None or model_id == job.model_id:
        return True
    return job.model_id is None and bool(services.store.jobs.unknown_generations([f"model:{model_id}"]))


def _model_of(services: Services, generation_id: str) -> str | None:
    """Return the model of a generation, asked for once: many jobs in doubt have the same candidates, in every round."""
    known = services.models_of.get(generation_id)
    if known is None:
        known = services.photogpt.generation(generation_id).model_id
        if known is not None:
            services.models_of[generation_id] = known
            if len(services.models_of) > MAX_KNOWN:
                services.models_of.clear()
    return known


def _uncertain(job: Job, problem: str, candidates: list[str]) -> Finish:
    named = f": {', '.join(candidates)}" if candidates else ""
    error = f"{problem}{named}. Job {job.id} was not triggered again, since that could pay twice"
    return Finish(ending=JobResult(state=JobState.FAILED, reason=Reason.TRIGGER_UNCERTAIN, error=error))
