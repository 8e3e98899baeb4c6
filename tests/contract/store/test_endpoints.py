"""The gate before every webhook: cap, rate, breaker, end. On a real Valkey, by its clock."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from tests.contract.store.conftest import ENDPOINT, FAILED, URL, Gated, Hooks
from tests.waiting import wait_until
from worker.domain.delivery import SCHEDULE_S
from worker.store import keys
from worker.store.deliveries import AttemptReport
from worker.store.endpoints import OPENS_AFTER, Admitted, Deferred, EndpointLimits, Rejected, SlotWait
from worker.store.keys import Lane

TIMEOUT = AttemptReport(result="timeout", duration_s=15, fault="timeout")


# -- what an endpoint is ----------------------------------------------------------------------------------------------


def test_a_healthy_endpoint_lets_in(hooks: Hooks) -> None:
    """It is known from then on, without the query that differs from webhook to webhook."""
    delivery = hooks.made()
    assert hooks.acquire_slot(delivery) == Admitted("scheduled")
    assert (hooks.shown["url"], hooks.shown["state"], hooks.shown["in_flight"]) == (ENDPOINT.url, "healthy", 1)
    assert "order" not in hooks.shown["url"]
    hooks.record_attempt(delivery)
    assert (hooks.shown["in_flight"], hooks.shown["usual_s"]) == (0, 0.05)
    assert [found["id"] for found in hooks.store.endpoints.listed()] == [ENDPOINT.id]
    assert hooks.store.endpoints.listed(disabled=True) == []


def test_a_webhook_that_ended_does_not_enter(hooks: Hooks) -> None:
    """Another worker delivered it; a lease that ended late sends nothing twice."""
    delivery = hooks.made()
    hooks.record_attempt(delivery)
    hooks.client.zadd(keys.lane(Lane.REDELIVERIES), {delivery.id: 1})
    assert hooks.acquire_slot(delivery) is None
    assert hooks.line.lanes_of(delivery.id) == set()


def test_a_webhook_whose_record_is_gone_does_not_enter(hooks: Hooks) -> None:
    """And nothing of it is brought back."""
    delivery = hooks.made()
    hooks.client.delete(keys.delivery(delivery.id))
    assert hooks.store.endpoints.acquire_slot(delivery, random_fraction=0.5) is None
    assert not hooks.client.exists(keys.delivery(delivery.id))


# -- the cap ----------------------------------------------------------------------------------------------------------


def test_only_so_many_are_under_way(hooks: Hooks) -> None:
    """The rest waits a moment in the other lane, each for a turn of its own, and none of its attempts is used up."""
    waiting = [hooks.made() for _ in range(7)]
    answers = [hooks.acquire_slot(delivery, random_fraction=0) for delivery in waiting]
    assert [type(answer) for answer in answers] == [Admitted] * 4 + [Deferred] * 3
    dues = [hooks.due_in(delivery) for delivery in waiting[4:]]
    assert dues == sorted(dues)
    assert dues[-1] < 1
    late = hooks.read(waiting[-1].id)
    assert (late.attempts, late.steps) == (0, 0)
    hooks.record_attempt(waiting[0])
    assert isinstance(hooks.acquire_slot(waiting[-1]), Admitted)


def test_a_caller_may_wait_for_a_slot_that_is_about_to_be_free(hooks: Hooks) -> None:
    """A moment in its thread is cheaper than a second claim; a longer wait is not for threads."""
    for _ in range(4):
        hooks.acquire_slot(hooks.made())
    waiting, late = hooks.made(), hooks.made()
    soon = hooks.store.endpoints.acquire_slot(waiting, random_fraction=0, waits_s=0.1)
    assert isinstance(soon, SlotWait)
    assert 0 < soon.seconds <= 0.1
    assert hooks.line.lanes_of(waiting.id) == {Lane.DELIVERIES}
    hooks.client.hset(keys.endpoint(ENDPOINT.id), "duration_s", 3)
    assert isinstance(hooks.store.endpoints.acquire_slot(late, random_fraction=0, waits_s=0.1), Deferred)


def test_another_endpoint_has_slots_of_its_own(hooks: Hooks) -> None:
    """A full one delays nobody else."""
    for _ in range(6):
        hooks.acquire_slot(hooks.made())
    assert isinstance(hooks.acquire_slot(hooks.made("https://shop.example/other")), Admitted)


def test_a_dead_workers_slots_come_back(gated: Gated) -> None:
    """When their lease ends, by the server's clock."""
    hooks = gated(webhook_max_in_flight=1)
    dead, other = hooks.made(), hooks.made()
    assert isinstance(hooks.acquire_slot(dead), Admitted)
    assert isinstance(hooks.acquire_slot(other), Deferred)
    hooks.client.zadd(keys.in_flight(ENDPOINT.id), {dead.id: hooks.store.clock() + 0.05}, xx=True)
    wait_until(lambda: isinstance(hooks.acquire_slot(other), Admitted), "the lease ends", within=5)


def test_the_same_webhook_takes_one_slot(gated: Gated) -> None:
    """Two workers have it, since the first stood still; there is no dead-lock with itself."""
    hooks = gated(webhook_max_in_flight=1)
    delivery = hooks.made()
    assert [type(hooks.acquire_slot(delivery)) for _ in range(2)] == [Admitted, Admitted]
    assert hooks.shown["in_flight"] == 1


def test_quick_answers_raise_the_cap_up_to_the_setting(gated: Gated) -> None:
    """By half a slot each."""
    hooks = gated(webhook_max_in_flight=6)
    for _ in range(8):
        delivery = hooks.made()
        hooks.acquire_slot(delivery)
        hooks.record_attempt(delivery)
    assert hooks.shown["limit"] == 6


@pytest.mark.parametrize("report", [TIMEOUT, AttemptReport(result="slow", duration_s=9)])
def test_no_answer_in_time_halves_the_cap(hooks: Hooks, report: AttemptReport) -> None:
    """Once for all that were under way together; never below one."""
    under_way = [hooks.made() for _ in range(4)]
    for delivery in under_way:
        hooks.acquire_slot(delivery)
    for delivery in under_way:
        hooks.record_attempt(delivery, report)
    assert hooks.shown["limit"] == 2
    for _ in range(3):
        hooks.client.hset(keys.endpoint(ENDPOINT.id), "halved_at", 0)
        hooks.record_attempt(hooks.made(), report)
    assert hooks.shown["limit"] == 1


# -- the rate ---------------------------------------------------------------------------------------------------------


def test_the_rate_gives_each_its_time(gated: Gated) -> None:
    """One goes, the others come back when it is their turn, and are then let in without a second wait."""
    hooks = gated(webhook_max_per_s=2)
    waiting = [hooks.made() for _ in range(4)]
    answers = [hooks.acquire_slot(delivery) for delivery in waiting]
    assert [type(answer) for answer in answers] == [Admitted, Deferred, Deferred, Deferred]
    dues = [hooks.due_in(delivery) for delivery in waiting[1:]]
    assert dues == pytest.approx([0.5, 1, 1.5], abs=0.3)
    assert isinstance(hooks.acquire_slot(waiting[3]), Deferred)
    assert hooks.due_in(waiting[3]) == pytest.approx(dues[2], abs=0.3)  # asking again does not lose its place
    wait_until(lambda: isinstance(hooks.acquire_slot(waiting[1]), Admitted), "its turn comes", within=5)


def test_a_rate_is_that_of_one_endpoint(gated: Gated) -> None:
    """Others are not slowed down."""
    hooks = gated(webhook_max_per_s=0.1)
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)
    assert isinstance(hooks.acquire_slot(hooks.made("https://other.example/")), Admitted)


# -- the breaker ------------------------------------------------------------------------------------------------------


def test_failures_in_a_row_close_the_gate(hooks: Hooks) -> None:
    """What comes is put off until after the pause, spread out, and uses up no attempt."""
    hooks.fail(OPENS_AFTER - 1)
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)
    hooks.fail(1)
    assert hooks.shown["state"] == "broken"
    soon, late = hooks.made(), hooks.made()
    for delivery, random_fraction in ((soon, 0), (late, 0.99)):
        answer = hooks.acquire_slot(delivery, random_fraction=random_fraction)
        assert isinstance(answer, Deferred)
        assert answer.why == "circuit_open"
    assert 7 < hooks.due_in(soon) <= 12.5
    assert hooks.due_in(late) > hooks.due_in(soon) + 8
    assert hooks.read(soon.id).attempts == 0


def test_a_success_in_between_keeps_it_open(hooks: Hooks) -> None:
    """Only failures in a row count."""
    hooks.fail(OPENS_AFTER - 1)
    delivery = hooks.made()
    hooks.acquire_slot(delivery)
    hooks.record_attempt(delivery)
    hooks.fail(OPENS_AFTER - 1)
    assert hooks.shown["state"] == "failing"
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)


def test_one_probes_after_the_pause(hooks: Hooks) -> None:
    """The others wait for what becomes of it; a yes opens for all."""
    hooks.break_it()
    hooks.pass_time()
    probe, other = hooks.made(), hooks.made()
    assert isinstance(hooks.acquire_slot(probe), Admitted)
    assert isinstance(hooks.acquire_slot(other), Deferred)
    hooks.record_attempt(probe)
    assert hooks.shown["state"] == "healthy"
    assert isinstance(hooks.acquire_slot(other), Admitted)


def test_a_probe_that_fails_doubles_the_pause(hooks: Hooks) -> None:
    """Up to ten minutes."""
    hooks.break_it()
    pauses = []
    for _ in range(9):
        hooks.pass_time()
        probe = hooks.made()
        assert isinstance(hooks.acquire_slot(probe), Admitted)
        hooks.record_attempt(probe, FAILED)
        record = hooks.client.hgetall(keys.endpoint(ENDPOINT.id))
        pauses.append(float(record["open_until"]) - hooks.store.clock())
    assert pauses == pytest.approx([20, 40, 80, 160, 320, 600, 600, 600, 600], rel=0.05)


def test_a_probe_whose_worker_died_is_followed_by_another(hooks: Hooks) -> None:
    """Its lease ends like any other."""
    hooks.break_it()
    hooks.pass_time()
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)
    hooks.pass_time("probe_until")
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)


def test_stragglers_do_not_lengthen_the_pause(hooks: Hooks) -> None:
    """What was under way when the gate closed fails, too."""
    under_way = hooks.made()
    hooks.acquire_slot(under_way)
    hooks.break_it()
    before = hooks.client.hget(keys.endpoint(ENDPOINT.id), "open_until")
    hooks.record_attempt(under_way, FAILED)
    assert hooks.client.hget(keys.endpoint(ENDPOINT.id), "open_until") == before


def test_what_says_nothing_of_the_endpoint_counts_nothing(hooks: Hooks) -> None:
    """Our own proxy, our own refusals."""
    hooks.fail(2 * OPENS_AFTER, AttemptReport(result="none", fault="proxy_error"))
    assert (hooks.shown["state"], hooks.shown["failures"]) == ("healthy", 0)


def test_a_schedule_ends_while_nothing_is_sent(hooks: Hooks) -> None:
    """A put-off that lasts longer than the step uses the step up, without an attempt; the last one gives up."""
    hooks.break_it()
    delivery = hooks.made()
    seen: list[Any] = []
    while not isinstance(answer := hooks.acquire_slot(delivery), Rejected):
        assert isinstance(answer, Deferred)
        waited = hooks.read(delivery.id).skipped
        seen.append(waited)
        assert waited <= len(SCHEDULE_S)
        first = float(hooks.client.hget(keys.delivery(delivery.id), "deferred_at"))
        hooks.client.hset(keys.delivery(delivery.id), "deferred_at", first - SCHEDULE_S[-1] - 1)
    assert answer == Rejected("schedule_over", "circuit_open")
    assert hooks.read(delivery.id).skipped == len(SCHEDULE_S) + 1
    assert hooks.read(delivery.id).attempts == 0


def test_a_short_put_off_uses_up_nothing(hooks: Hooks) -> None:
    """An hour's step does not end with ten seconds' wait."""
    hooks.break_it()
    delivery = hooks.made()
    hooks.client.hset(keys.delivery(delivery.id), "attempts", 4)
    for _ in range(5):
        assert isinstance(hooks.acquire_slot(delivery), Deferred)
    assert hooks.read(delivery.id).skipped == 0


# -- the end of an endpoint -------------------------------------------------------------------------------------------


def events(client: redis.Redis) -> list[dict[str, str]]:
    """Return what everybody was told of endpoints."""
    found: Any = client.xrange(keys.EVENTS)
    return [fields for _, fields in found if fields["type"].startswith("webhook.")]


def test_an_endpoint_that_fails_for_days_is_disabled(gated: Gated) -> None:
    """By the webhook that is given up after the time, not before; everybody is told once."""
    hooks = gated(webhook_disable_after_s=1000)
    hooks.fail(1)
    given_up = hooks.made()
    hooks.acquire_slot(given_up)
    assert hooks.record_attempt(given_up, FAILED, "dead").disabled is None
    hooks.client.hset(keys.endpoint(ENDPOINT.id), "failing_since", hooks.store.clock() - 1001)
    retried, last = hooks.made(), hooks.made()
    assert hooks.record_attempt(retried, FAILED).disabled is None
    assert hooks.record_attempt(last, FAILED, "dead").disabled == "failing"
    assert hooks.record_attempt(retried, FAILED, "dead").disabled is None
    (told,) = events(hooks.client)
    assert told["type"] == "webhook.endpoint_disabled"
    assert json.loads(told["data"]) == {"endpoint": ENDPOINT.id, "url": ENDPOINT.url, "why": "failing"}
    assert told["job"] == last.job_id
    assert (hooks.shown["state"], hooks.shown["disabled"]) == ("disabled", "failing")


def test_days_of_failures_are_remembered_between_rare_webhooks(hooks: Hooks) -> None:
    """The schedule lasts a day only, and the record of the endpoint much longer."""
    hooks.fail(1)
    assert hooks.line.ttl(keys.endpoint(ENDPOINT.id)) > 10 * 86_400


def test_a_success_forgets_the_days(gated: Gated) -> None:
    """Failing since means: without a success in between."""
    hooks = gated(webhook_disable_after_s=1000)
    hooks.fail(1)
    hooks.client.hset(keys.endpoint(ENDPOINT.id), "failing_since", hooks.store.clock() - 2000)
    hooks.record_attempt(hooks.made())
    assert hooks.record_attempt(hooks.made(), FAILED, "dead").disabled is None


@pytest.mark.parametrize("why", ["gone", "asked"])
def test_a_receiver_can_end_it(hooks: Hooks, why: str) -> None:
    """410, or webhook-delivery: disable. What comes later is not sent."""
    report = AttemptReport(result="failed", duration_s=0.1, fault="gone", disable=why)
    assert hooks.record_attempt(hooks.made(), report, "dead").disabled == why
    assert hooks.acquire_slot(hooks.made()) == Rejected("endpoint_disabled", why)
    assert isinstance(hooks.acquire_slot(hooks.made("https://shop.example/other")), Admitted)


def test_enabled_again_it_is_as_new(hooks: Hooks) -> None:
    """Its failures are forgotten."""
    hooks.break_it()
    hooks.record_attempt(hooks.made(), AttemptReport(result="failed", disable="gone"), "dead")
    assert hooks.store.endpoints.enable(ENDPOINT.id)
    assert not hooks.store.endpoints.enable(ENDPOINT.id)
    assert (hooks.shown["state"], hooks.shown["failures"]) == ("healthy", 0)
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)


def test_endpoints_are_found_by_id_and_by_url(hooks: Hooks) -> None:
    """People paste either."""
    hooks.fail(1)
    for named in (ENDPOINT.id, URL, "https://SHOP.example:443/hooks#x"):
        assert hooks.store.endpoints.find(named) == ENDPOINT
    assert hooks.store.endpoints.get("ep_unknown") is None


def test_an_endpoint_is_remembered_for_longer_than_it_takes_to_disable_it() -> None:
    """However long that is."""
    assert EndpointLimits(disable_after_s=90 * 86_400).retention_s > 100 * 86_400


def test_a_healthy_endpoint_is_soon_forgotten(hooks: Hooks) -> None:
    """A producer may name another path for every job."""
    delivery = hooks.made()
    hooks.acquire_slot(delivery)
    assert hooks.line.ttl(keys.endpoint(ENDPOINT.id)) <= 86_400
    hooks.record_attempt(delivery)
    assert hooks.line.ttl(keys.endpoint(ENDPOINT.id)) <= 86_400


def test_endpoints_are_not_listed_without_end(gated: Gated) -> None:
    """As many as webhooks."""
    hooks = gated(webhook_history_max=3)
    for number in range(6):
        hooks.acquire_slot(hooks.made(f"https://shop.example/{number}"))
    assert [found["url"][-1] for found in hooks.store.endpoints.listed()] == ["5", "4", "3"]
