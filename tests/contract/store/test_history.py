"""The history of webhooks, resends, and recovery."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.store.conftest import ACCEPTED, ENDPOINT, FAILED, URL, Hooks, WithSettings
from tests.running import keys
from worker.domain.endpoint import endpoint_of
from worker.domain.errors import WebhookError
from worker.domain.lane import Lane
from worker.steps.redeliver import recover, recover_since, resend
from worker.store.deliveries import MAX_ATTEMPTS
from worker.store.endpoints import Admitted, Deferred
from worker.store.lanes import Tick
from worker.store.records import AttemptReport

MANUAL_ACCEPTED = AttemptReport(result="ok", duration_s=0.05, manual=True)
MANUAL_FAILED = AttemptReport(result="failed", duration_s=0.05, fault="http_5xx", manual=True)


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


def test_webhooks_are_filtered(hooks: Hooks) -> None:
    """Webhooks are listed with their attempts by state, endpoint, job, time and number."""
    taken, failing, fresh = hooks.made(), hooks.made(), hooks.made("https://other.example/")
    hooks.acquire_slot(taken)
    hooks.record_attempt(taken)
    hooks.acquire_slot(failing)
    hooks.record_attempt(failing, FAILED)
    given_up = dead(hooks)
    listed = hooks.store.delivery_history.listed
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


def test_a_webhook_is_shown_with_its_body(hooks: Hooks) -> None:
    """A webhook is read with its body and its next attempt, and an unknown one is None."""
    delivery = hooks.made()
    shown = hooks.store.delivery_history.get(delivery.id)
    assert shown is not None
    assert shown["body"]["type"] == "job.failed"
    assert shown["next_attempt_at"] is not None
    hooks.record_attempt(delivery)
    assert (hooks.store.delivery_history.get(delivery.id) or {})["next_attempt_at"] is None
    assert hooks.store.delivery_history.get("msg_unknown") is None


def test_the_history_is_bounded(with_settings: WithSettings) -> None:
    """Above the maximum the oldest webhooks that have ended are removed, and pending ones stay."""
    hooks = with_settings(webhook_history_max=3)
    waiting = hooks.made()
    ended = []
    for number in range(6):
        delivery = hooks.made()
        hooks.acquire_slot(delivery)
        hooks.record_attempt(delivery, FAILED if number % 2 else ACCEPTED, "dead" if number % 2 else "delivered")
        ended.append(delivery.id)
    kept = [name for name in ended if hooks.client.exists(keys.delivery(name))]
    assert kept == ended[3:]
    assert ids(hooks.store.delivery_history.listed()) == {waiting.id, *ended[3:]}
    assert hooks.client.zrange(keys.endpoint_deliveries(ENDPOINT.id), 0, -1) == ended[3:]


def test_lists_drop_expired_webhooks(hooks: Hooks) -> None:
    """The lists of ended webhooks drop those whose record has expired."""
    old = dead(hooks)
    hooks.client.zadd(keys.dead, {old: 1})
    dead(hooks)
    assert hooks.client.zscore(keys.dead, old) is None


def test_kept_attempts_are_bounded(hooks: Hooks) -> None:
    """Of many manual attempts the newest are kept."""
    name = dead(hooks)
    for _ in range(MAX_ATTEMPTS + 3):
        hooks.record_attempt(hooks.read(name), MANUAL_FAILED, "dead")
    (shown,) = hooks.store.delivery_history.listed(state="dead")
    numbers = [attempt["number"] for attempt in shown["attempts"]]
    assert numbers == list(range(5, MAX_ATTEMPTS + 5))


# -- once more --------------------------------------------------------------------------------------------------------


def test_a_dead_letter_can_be_resent(hooks: Hooks) -> None:
    """A dead letter is resent under its own id in the lane of redeliveries, and can be delivered."""
    name = dead(hooks)
    (tick,) = again(hooks, name)
    assert tick.lane is Lane.REDELIVERIES
    assert hooks.line.lanes_of(name) == {Lane.REDELIVERIES}
    assert hooks.acquire_slot(hooks.read(name)) == Admitted(manual=True)
    hooks.record_attempt(hooks.read(name), MANUAL_ACCEPTED)
    assert hooks.read(name).state == "delivered"
    assert hooks.line.lanes_of(name) == set()
    assert ids(hooks.store.delivery_history.listed(state="dead")) == set()


def test_a_resent_dead_letter_that_fails_stays_dead(hooks: Hooks) -> None:
    """A resent dead letter that fails again stays dead, and can be resent again."""
    name = dead(hooks)
    for count in (1, 2):
        again(hooks, name)
        assert isinstance(hooks.acquire_slot(hooks.read(name)), Admitted)
        hooks.record_attempt(hooks.read(name), MANUAL_FAILED, "pending")
        found = hooks.read(name)
        assert (found.state, found.manual, found.steps) == ("dead", count, 1)
        assert hooks.line.lanes_of(name) == set()


def test_a_delivered_webhook_can_be_resent(hooks: Hooks) -> None:
    """A delivered webhook can be resent, and stays delivered even if that fails."""
    delivery = hooks.made()
    hooks.record_attempt(delivery)
    again(hooks, delivery.id)
    assert isinstance(hooks.acquire_slot(delivery), Admitted)
    hooks.record_attempt(delivery, MANUAL_FAILED, "dead")
    assert hooks.read(delivery.id).state == "delivered"


def test_a_pending_webhook_can_be_resent(hooks: Hooks) -> None:
    """A pending webhook that is resent is due at once, and the manual attempt uses up no step."""
    delivery = hooks.made()
    hooks.acquire_slot(delivery)
    hooks.record_attempt(delivery, FAILED, after=3600)
    again(hooks, delivery.id)
    assert hooks.due_in(delivery) < 1
    assert hooks.acquire_slot(delivery) == Admitted(manual=True)
    hooks.record_attempt(delivery, MANUAL_FAILED, after=60)
    found = hooks.read(delivery.id)
    assert (found.state, found.attempts, found.steps) == ("pending", 2, 1)
    assert 50 < hooks.due_in(delivery) <= 61


def test_a_webhook_in_flight_is_not_resent(hooks: Hooks) -> None:
    """A webhook that is being sent is not resent."""
    delivery = hooks.made()
    hooks.acquire_slot(delivery)
    assert resend(hooks.store, delivery.id)["answer"] == "in_flight"
    assert hooks.line.lanes_of(delivery.id) == {Lane.DELIVERIES}


def test_a_resend_during_an_attempt_is_kept(hooks: Hooks) -> None:
    """A resend that is requested during an attempt is made after it."""
    delivery = hooks.made()
    again(hooks, delivery.id)
    hooks.record_attempt(delivery, FAILED, "dead")
    assert hooks.line.lanes_of(delivery.id) == {Lane.REDELIVERIES}
    assert hooks.acquire_slot(delivery) == Admitted(manual=True)


def test_a_resend_survives_its_worker(hooks: Hooks) -> None:
    """A resend whose worker dies is admitted again."""
    name = dead(hooks)
    again(hooks, name)
    for _ in range(2):
        assert hooks.acquire_slot(hooks.read(name)) == Admitted(manual=True)


def test_a_resend_probes_an_open_circuit(hooks: Hooks) -> None:
    """A resend is sent while the circuit is open, and its success closes the circuit."""
    name = dead(hooks)
    hooks.open_circuit()
    again(hooks, name)
    assert hooks.acquire_slot(hooks.read(name)) == Admitted(manual=True)
    hooks.record_attempt(hooks.read(name), MANUAL_ACCEPTED)
    assert hooks.shown["state"] == "healthy"


# -- recover ----------------------------------------------------------------------------------------------------------


def recovered(hooks: Hooks, **options: Any) -> dict[str, Any]:
    """Recover what failed in the last minute."""
    wanted: dict[str, Any] = {"since": hooks.store.clock() - 60} | options
    return recover(hooks.store, **wanted)


def test_recover_resends_failed_webhooks(hooks: Hooks) -> None:
    """Recovery resends dead letters and failed webhooks spread over time, and no other ones."""
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


def test_recover_is_limited(hooks: Hooks) -> None:
    """Recovery keeps to its time, endpoint and number, and reports that there are more."""
    other = "https://other.example/"
    for url in (URL, URL, other):
        dead(hooks, url)
    assert recovered(hooks, since=hooks.store.clock() + 60)["resent"] == 0
    assert recovered(hooks, endpoint=endpoint_of(other).id)["resent"] == 1
    answer = recovered(hooks, endpoint=ENDPOINT.id, limit=1)
    assert (answer["resent"], answer["more"]) == (1, True)


def test_recover_closes_the_circuit(hooks: Hooks) -> None:
    """Recovery closes the circuit of an endpoint, and the next failure opens it again."""
    name = dead(hooks)
    hooks.open_circuit()
    recovered(hooks)
    assert hooks.acquire_slot(hooks.read(name)) == Admitted(manual=True)
    hooks.record_attempt(hooks.read(name), MANUAL_FAILED, "dead")
    assert hooks.shown["state"] == "circuit_open"


def test_recover_resends_deferred_webhooks(hooks: Hooks) -> None:
    """Recovery resends webhooks that were deferred while the circuit was open."""
    hooks.open_circuit()
    kept = hooks.made()
    hooks.acquire_slot(kept)
    recovered(hooks, per_s=1000)
    assert hooks.due_in(kept) < 2
    assert isinstance(hooks.acquire_slot(kept), Admitted)


def test_recover_keeps_to_the_rate(with_settings: WithSettings) -> None:
    """Recovered webhooks keep to the rate of their endpoint."""
    hooks = with_settings(webhook_max_per_s=1)
    names = [dead(hooks) for _ in range(2)]
    hooks.client.hdel(keys.endpoint(ENDPOINT.id), "next_slot_at")
    recovered(hooks)
    assert [type(hooks.acquire_slot(hooks.read(name))) for name in names] == [Admitted, Deferred]


def test_recover_skips_disabled_endpoints(hooks: Hooks) -> None:
    """Recovery skips disabled endpoints, and counts their webhooks."""
    dead(hooks)
    hooks.record_attempt(hooks.made(), AttemptReport(result="failed", disable="gone"), "dead")
    answer = recovered(hooks)
    assert (answer["resent"], answer["disabled"]) == (0, 2)


@pytest.mark.parametrize(
    "arguments",
    [("soon", None, 1), (0, None, 1), (True, None, 1), (60, 7, 1), (60, None, 0), (60, None, 10**6), (1e12, None, 1)],
)
def test_invalid_arguments_are_named(hooks: Hooks, arguments: tuple[Any, ...]) -> None:
    """An invalid argument of a recovery message raises an error that names it."""
    with pytest.raises(WebhookError, match=r"since_s|endpoint|limit"):
        recover_since(hooks.store, *arguments)


@pytest.mark.parametrize("name", ["msg_unknown", None, 7])
def test_an_unknown_webhook_cannot_be_resent(hooks: Hooks, name: Any) -> None:
    """Resending an unknown webhook raises an error."""
    with pytest.raises(WebhookError, match="webhook"):
        resend(hooks.store, name)
