"""What became of webhooks, and webhooks once more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.store.conftest import ENDPOINT, FAILED, TAKEN, URL, Gated, Hooks
from worker.domain.endpoint import endpoint_of
from worker.domain.errors import WebhookError
from worker.steps.redeliver import recover, recover_since, resend
from worker.store import keys
from worker.store.deliveries import MAX_ATTEMPTS, AttemptReport
from worker.store.endpoints import Admitted, Deferred
from worker.store.keys import Lane
from worker.store.lanes import Tick

BY_HAND_TAKEN = AttemptReport(result="ok", duration_s=0.05, trigger="manual")
BY_HAND_FAILED = AttemptReport(result="failed", duration_s=0.05, fault="http_5xx", trigger="manual")


def dead(hooks: Hooks, url: str = URL) -> str:
    """Return a webhook that was given up."""
    delivery = hooks.made(url)
    hooks.acquire_slot(delivery)
    hooks.record_attempt(delivery, FAILED, "dead")
    return delivery.id


def ids(found: list[dict[str, Any]]) -> set[str]:
    """Return whose records these are."""
    return {shown["id"] for shown in found}


def again(hooks: Hooks, delivery_id: str) -> list[Tick]:
    """Ask for one again; return what has to be sent."""
    hooks.line.published()
    resend(hooks.store, delivery_id)
    return hooks.line.published()


# -- lists ------------------------------------------------------------------------------------------------------------


def test_webhooks_are_listed_by_state_endpoint_job_and_time(hooks: Hooks) -> None:
    """Each with its attempts."""
    taken, failing, fresh = hooks.made(), hooks.made(), hooks.made("https://other.example/")
    hooks.acquire_slot(taken)
    hooks.record_attempt(taken)
    hooks.acquire_slot(failing)
    hooks.record_attempt(failing, FAILED)
    given_up = dead(hooks)
    listed = hooks.store.deliveries.listed
    assert ids(listed()) == {taken.id, failing.id, fresh.id, given_up}
    assert ids(listed(state="delivered")) == {taken.id}
    assert ids(listed(state="dead")) == {given_up}
    assert ids(listed(state="pending")) == {failing.id, fresh.id}
    assert ids(listed(endpoint=ENDPOINT.id)) == {taken.id, failing.id, given_up}
    assert ids(listed(endpoint=ENDPOINT.id, state="pending")) == {failing.id}
    assert ids(listed(job=taken.job_id)) == {taken.id}
    assert listed(since=hooks.store.clock() + 60) == []
    assert len(listed(limit=2)) == 2
    (shown,) = listed(state="dead")
    assert [attempt["number"] for attempt in shown["attempts"]] == [1]
    assert "body" not in shown


def test_one_is_shown_with_its_body_and_its_next_attempt(hooks: Hooks) -> None:
    """And one that is not known is None."""
    delivery = hooks.made()
    shown = hooks.store.deliveries.get(delivery.id)
    assert shown is not None
    assert shown["body"]["type"] == "job.failed"
    assert shown["next_attempt_at"] is not None
    hooks.record_attempt(delivery)
    assert (hooks.store.deliveries.get(delivery.id) or {})["next_attempt_at"] is None
    assert hooks.store.deliveries.get("msg_unknown") is None


def test_history_cannot_fill_redis(gated: Gated) -> None:
    """The oldest that have ended go, taken or given up; what is still to be sent stays."""
    hooks = gated(webhook_history_max=3)
    waiting = hooks.made()
    ended = []
    for number in range(6):
        delivery = hooks.made()
        hooks.acquire_slot(delivery)
        hooks.record_attempt(delivery, FAILED if number % 2 else TAKEN, "dead" if number % 2 else "delivered")
        ended.append(delivery.id)
    kept = [name for name in ended if hooks.client.exists(keys.delivery(name))]
    assert kept == ended[3:]
    assert ids(hooks.store.deliveries.listed()) == {waiting.id, *ended[3:]}
    assert hooks.client.zrange(keys.endpoint_deliveries(ENDPOINT.id), 0, -1) == ended[3:]


def test_lists_forget_what_has_expired(hooks: Hooks) -> None:
    """By age, as the records do."""
    old = dead(hooks)
    hooks.client.zadd(keys.DEAD, {old: 1})
    dead(hooks)
    assert hooks.client.zscore(keys.DEAD, old) is None


def test_attempts_by_hand_without_end_are_not_all_kept(hooks: Hooks) -> None:
    """The last ones are."""
    name = dead(hooks)
    for _ in range(MAX_ATTEMPTS + 3):
        hooks.record_attempt(hooks.read(name), BY_HAND_FAILED, "dead")
    (shown,) = hooks.store.deliveries.listed(state="dead")
    numbers = [attempt["number"] for attempt in shown["attempts"]]
    assert numbers == list(range(5, MAX_ATTEMPTS + 5))


# -- once more --------------------------------------------------------------------------------------------------------


def test_a_dead_letter_is_sent_once_more(hooks: Hooks) -> None:
    """Under its own id, in the other lane; taken, it is delivered."""
    name = dead(hooks)
    (tick,) = again(hooks, name)
    assert tick.lane is Lane.REDELIVERIES
    assert hooks.line.lanes_of(name) == {Lane.REDELIVERIES}
    assert hooks.acquire_slot(hooks.read(name)) == Admitted("manual")
    hooks.record_attempt(hooks.read(name), BY_HAND_TAKEN)
    assert hooks.read(name).state == "delivered"
    assert hooks.line.lanes_of(name) == set()
    assert ids(hooks.store.deliveries.listed(state="dead")) == set()


def test_a_dead_letter_that_fails_again_stays_dead(hooks: Hooks) -> None:
    """It does not go back on the schedule; it may be asked for as often as one likes."""
    name = dead(hooks)
    for count in (1, 2):
        again(hooks, name)
        assert isinstance(hooks.acquire_slot(hooks.read(name)), Admitted)
        hooks.record_attempt(hooks.read(name), BY_HAND_FAILED, "pending")
        found = hooks.read(name)
        assert (found.state, found.manual, found.steps) == ("dead", count, 1)
        assert hooks.line.lanes_of(name) == set()


def test_a_delivered_one_can_be_sent_again_and_stays_delivered(hooks: Hooks) -> None:
    """The receiver lost it; should it fail, it was taken once all the same."""
    delivery = hooks.made()
    hooks.record_attempt(delivery)
    again(hooks, delivery.id)
    assert isinstance(hooks.acquire_slot(delivery), Admitted)
    hooks.record_attempt(delivery, BY_HAND_FAILED, "dead")
    assert hooks.read(delivery.id).state == "delivered"


def test_a_pending_one_is_brought_forward_and_keeps_its_schedule(hooks: Hooks) -> None:
    """The attempt by hand uses up no step."""
    delivery = hooks.made()
    hooks.acquire_slot(delivery)
    hooks.record_attempt(delivery, FAILED, after=3600)
    again(hooks, delivery.id)
    assert hooks.due_in(delivery) < 1
    assert hooks.acquire_slot(delivery) == Admitted("manual")
    hooks.record_attempt(delivery, BY_HAND_FAILED, after=60)
    found = hooks.read(delivery.id)
    assert (found.state, found.attempts, found.steps) == ("pending", 2, 1)
    assert 50 < hooks.due_in(delivery) <= 61


def test_one_that_is_under_way_is_left_alone(hooks: Hooks) -> None:
    """It is being sent; the lease of its claim stands."""
    delivery = hooks.made()
    hooks.acquire_slot(delivery)
    assert resend(hooks.store, delivery.id)["answer"] == "in_flight"
    assert hooks.line.lanes_of(delivery.id) == {Lane.DELIVERIES}


def test_a_wish_between_claim_and_gate_is_kept(hooks: Hooks) -> None:
    """The scheduled attempt gave up meanwhile; the wish is seen to afterwards."""
    delivery = hooks.made()
    again(hooks, delivery.id)
    hooks.record_attempt(delivery, FAILED, "dead")
    assert hooks.line.lanes_of(delivery.id) == {Lane.REDELIVERIES}
    assert hooks.acquire_slot(delivery) == Admitted("manual")


def test_a_worker_that_dies_with_a_resend_loses_nothing(hooks: Hooks) -> None:
    """The wish stands until an attempt is written down."""
    name = dead(hooks)
    again(hooks, name)
    for _ in range(2):
        assert hooks.acquire_slot(hooks.read(name)) == Admitted("manual")


def test_a_broken_endpoint_is_asked_if_somebody_wants_it(hooks: Hooks) -> None:
    """One by hand is a probe; its yes opens the gate."""
    name = dead(hooks)
    hooks.break_it()
    again(hooks, name)
    assert hooks.acquire_slot(hooks.read(name)) == Admitted("manual")
    hooks.record_attempt(hooks.read(name), BY_HAND_TAKEN)
    assert hooks.shown["state"] == "healthy"


# -- recover ----------------------------------------------------------------------------------------------------------


def recovered(hooks: Hooks, **options: Any) -> dict[str, Any]:
    """Recover what failed in the last minute."""
    wanted: dict[str, Any] = {"since": hooks.store.clock() - 60} | options
    return recover(hooks.store, **wanted)


def test_recover_sends_what_was_given_up_and_what_waits(hooks: Hooks) -> None:
    """Not what was taken, and not what was never tried; spread over time."""
    taken, failing, fresh = hooks.made(), hooks.made(), hooks.made()
    hooks.record_attempt(taken)
    hooks.record_attempt(failing, FAILED, after=3600)
    given_up = [dead(hooks) for _ in range(2)]
    answer = recovered(hooks, per_s=0.5)
    assert (answer["resent"], answer["more"], answer["takes_s"]) == (3, False, 6)
    dues = [hooks.line.due_in(Lane.REDELIVERIES, name) for name in (*given_up, failing.id)]
    assert dues == pytest.approx([0, 2, 4], abs=1)
    assert hooks.line.lanes_of(fresh.id) == {Lane.DELIVERIES}
    assert hooks.line.lanes_of(taken.id) == set()


def test_recover_keeps_to_its_time_endpoint_and_number(hooks: Hooks) -> None:
    """And says that there were more."""
    other = "https://other.example/"
    for url in (URL, URL, other):
        dead(hooks, url)
    assert recovered(hooks, since=hooks.store.clock() + 60)["resent"] == 0
    assert recovered(hooks, endpoint=endpoint_of(other).id)["resent"] == 1
    answer = recovered(hooks, endpoint=ENDPOINT.id, limit=1)
    assert (answer["resent"], answer["more"]) == (1, True)


def test_recover_opens_the_gate_of_a_broken_endpoint(hooks: Hooks) -> None:
    """Somebody says that it is back; if it is not, the next failure closes the gate again."""
    name = dead(hooks)
    hooks.break_it()
    recovered(hooks)
    assert hooks.acquire_slot(hooks.read(name)) == Admitted("manual")
    hooks.record_attempt(hooks.read(name), BY_HAND_FAILED, "dead")
    assert hooks.shown["state"] == "broken"


def test_recover_sends_what_a_broken_endpoint_kept_waiting(hooks: Hooks) -> None:
    """It was never tried; nobody wants to wait for ten minutes after the receiver is back."""
    hooks.break_it()
    kept = hooks.made()
    hooks.acquire_slot(kept)
    recovered(hooks, per_s=1000)
    assert hooks.due_in(kept) < 2
    assert isinstance(hooks.acquire_slot(kept), Admitted)


def test_recover_waits_its_turn(gated: Gated) -> None:
    """Thousands of them obey the rate as all do."""
    hooks = gated(webhook_max_per_s=1)
    names = [dead(hooks) for _ in range(2)]
    hooks.client.hdel(keys.endpoint(ENDPOINT.id), "tat")
    recovered(hooks)
    assert [type(hooks.acquire_slot(hooks.read(name))) for name in names] == [Admitted, Deferred]


def test_recover_leaves_disabled_endpoints_out(hooks: Hooks) -> None:
    """And says how many."""
    dead(hooks)
    hooks.record_attempt(hooks.made(), AttemptReport(result="failed", disable="gone"), "dead")
    answer = recovered(hooks)
    assert (answer["resent"], answer["disabled"]) == (0, 2)


@pytest.mark.parametrize(
    "arguments",
    [("soon", None, 1), (0, None, 1), (True, None, 1), (60, 7, 1), (60, None, 0), (60, None, 10**6), (1e12, None, 1)],
)
def test_arguments_of_a_message_are_checked(hooks: Hooks, arguments: tuple[Any, ...]) -> None:
    """The error names the one at fault."""
    with pytest.raises(WebhookError, match=r"since_s|endpoint|limit"):
        recover_since(hooks.store, *arguments)


@pytest.mark.parametrize("name", ["msg_unknown", None, 7])
def test_what_is_not_known_cannot_be_resent(hooks: Hooks, name: Any) -> None:
    """The error says so."""
    with pytest.raises(WebhookError, match="webhook"):
        resend(hooks.store, name)
