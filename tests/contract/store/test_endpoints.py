"""Endpoints on a real Valkey and its clock: slots, rate, circuit breaker, disabling."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from tests.contract.store.conftest import ENDPOINT, FAILED, OPENS_AFTER, URL, Hooks, WithSettings
from tests.running import keys
from tests.waiting import wait_until
from worker.domain.delivery import SCHEDULE_S
from worker.domain.lane import Lane
from worker.store.endpoints import Admitted, Deferred, EndpointLimits, Rejected, SlotWait
from worker.store.records import AttemptReport

TIMEOUT = AttemptReport(result="timeout", duration_s=15, fault="timeout")


# -- what an endpoint is ----------------------------------------------------------------------------------------------


def test_a_healthy_endpoint_admits(hooks: Hooks) -> None:
    """A new endpoint admits a webhook, and is listed without the query of its URL."""
    delivery = hooks.made()
    assert hooks.acquire_slot(delivery) == Admitted(manual=False)
    assert (hooks.shown["url"], hooks.shown["state"], hooks.shown["in_flight"]) == (ENDPOINT.url, "healthy", 1)
    assert "order" not in hooks.shown["url"]
    hooks.record_attempt(delivery)
    assert (hooks.shown["in_flight"], hooks.shown["usual_s"]) == (0, 0.05)
    assert [found["id"] for found in hooks.store.endpoints.listed()] == [ENDPOINT.id]
    assert hooks.store.endpoints.listed(disabled=True) == []


def test_a_delivered_webhook_is_not_admitted(hooks: Hooks) -> None:
    """A webhook that another worker has delivered gets no slot."""
    delivery = hooks.made()
    hooks.record_attempt(delivery)
    hooks.client.zadd(keys.lane(Lane.REDELIVERIES), {delivery.id: 1})
    assert hooks.acquire_slot(delivery) is None
    assert hooks.line.lanes_of(delivery.id) == set()


def test_an_expired_webhook_is_not_admitted(hooks: Hooks) -> None:
    """A webhook whose record has expired gets no slot and no new record."""
    delivery = hooks.made()
    hooks.client.delete(keys.delivery(delivery.id))
    assert hooks.store.endpoints.acquire_slot(delivery, random_fraction=0.5) is None
    assert not hooks.client.exists(keys.delivery(delivery.id))


# -- the cap ----------------------------------------------------------------------------------------------------------


def test_attempts_in_flight_are_limited(hooks: Hooks) -> None:
    """Webhooks above the limit in flight are deferred, each for its own turn, and use up no attempt."""
    waiting = [hooks.made() for _ in range(7)]
    answers = [hooks.acquire_slot(delivery, random_fraction=0) for delivery in waiting]
    assert [type(answer) for answer in answers] == [Admitted] * 4 + [Deferred] * 3
    dues = hooks.client.zmscore(keys.lane(Lane.REDELIVERIES), [delivery.id for delivery in waiting[4:]])
    assert dues == sorted(dues)
    assert hooks.due_in(waiting[-1]) < 1
    late = hooks.read(waiting[-1].id)
    assert (late.attempts, late.steps) == (0, 0)
    hooks.record_attempt(waiting[0])
    assert isinstance(hooks.acquire_slot(waiting[-1]), Admitted)


def test_a_caller_may_wait_for_a_slot(hooks: Hooks) -> None:
    """A caller that would wait for a short time is asked to wait, and one that would not is deferred."""
    for _ in range(4):
        hooks.acquire_slot(hooks.made())
    waiting, late = hooks.made(), hooks.made()
    soon = hooks.store.endpoints.acquire_slot(waiting, random_fraction=0, waits_s=0.1)
    assert isinstance(soon, SlotWait)
    assert 0 < soon.seconds <= 0.1
    assert hooks.line.lanes_of(waiting.id) == {Lane.DELIVERIES}
    hooks.client.hset(keys.endpoint(ENDPOINT.id), "duration_s", 3)
    assert isinstance(hooks.store.endpoints.acquire_slot(late, random_fraction=0, waits_s=0.1), Deferred)


def test_slots_belong_to_one_endpoint(hooks: Hooks) -> None:
    """An endpoint without a free slot delays no other endpoint."""
    for _ in range(6):
        hooks.acquire_slot(hooks.made())
    assert isinstance(hooks.acquire_slot(hooks.made("https://shop.example/other")), Admitted)


def test_the_slots_of_a_dead_worker_are_freed(with_settings: WithSettings) -> None:
    """The slots of a worker that died are free again when their leases end."""
    hooks = with_settings(webhook_max_in_flight=1)
    dead, other = hooks.made(), hooks.made()
    assert isinstance(hooks.acquire_slot(dead), Admitted)
    assert isinstance(hooks.acquire_slot(other), Deferred)
    hooks.client.zadd(keys.in_flight(ENDPOINT.id), {dead.id: hooks.store.clock() + 0.05}, xx=True)
    wait_until(lambda: isinstance(hooks.acquire_slot(other), Admitted), "the lease ends", within=5)


def test_a_webhook_takes_one_slot(with_settings: WithSettings) -> None:
    """A webhook that two workers send takes one slot."""
    hooks = with_settings(webhook_max_in_flight=1)
    delivery = hooks.made()
    assert [type(hooks.acquire_slot(delivery)) for _ in range(2)] == [Admitted, Admitted]
    assert hooks.shown["in_flight"] == 1


def test_quick_answers_raise_the_limit(with_settings: WithSettings) -> None:
    """Each quick answer raises the limit in flight by half, up to the setting."""
    hooks = with_settings(webhook_max_in_flight=6)
    for _ in range(8):
        delivery = hooks.made()
        hooks.acquire_slot(delivery)
        hooks.record_attempt(delivery)
    assert hooks.shown["limit"] == 6


@pytest.mark.parametrize("report", [TIMEOUT, AttemptReport(result="slow", duration_s=9)])
def test_timeouts_halve_the_limit(hooks: Hooks, report: AttemptReport) -> None:
    """Timeouts halve the limit once for all attempts that were in flight together, and never below one."""
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


def test_the_rate_spreads_attempts(with_settings: WithSettings) -> None:
    """With a rate each webhook gets a time, and is admitted at that time without a second deferral."""
    hooks = with_settings(webhook_max_per_s=2)
    waiting = [hooks.made() for _ in range(4)]
    answers = [hooks.acquire_slot(delivery) for delivery in waiting]
    assert [type(answer) for answer in answers] == [Admitted, Deferred, Deferred, Deferred]
    dues = [hooks.due_in(delivery) for delivery in waiting[1:]]
    assert dues == pytest.approx([0.5, 1, 1.5], abs=0.3)
    assert isinstance(hooks.acquire_slot(waiting[3]), Deferred)
    assert hooks.due_in(waiting[3]) == pytest.approx(dues[2], abs=0.3)  # asking again does not lose its place
    wait_until(lambda: isinstance(hooks.acquire_slot(waiting[1]), Admitted), "its turn comes", within=5)


def test_the_rate_is_per_endpoint(with_settings: WithSettings) -> None:
    """The rate of one endpoint delays no other endpoint."""
    hooks = with_settings(webhook_max_per_s=0.1)
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)
    assert isinstance(hooks.acquire_slot(hooks.made("https://other.example/")), Admitted)


# -- the breaker ------------------------------------------------------------------------------------------------------


def test_failures_in_a_row_open_the_circuit(hooks: Hooks) -> None:
    """Failures in a row open the circuit, and webhooks are deferred past the pause without using up an attempt."""
    hooks.fail(OPENS_AFTER - 1)
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)
    hooks.fail(1)
    assert hooks.shown["state"] == "circuit_open"
    soon, late = hooks.made(), hooks.made()
    for delivery, random_fraction in ((soon, 0), (late, 0.99)):
        answer = hooks.acquire_slot(delivery, random_fraction=random_fraction)
        assert isinstance(answer, Deferred)
        assert answer.why == "circuit_open"
    assert 7 < hooks.due_in(soon) <= 12.5
    assert hooks.due_in(late) > hooks.due_in(soon) + 8
    assert hooks.read(soon.id).attempts == 0


def test_a_success_resets_the_failures(hooks: Hooks) -> None:
    """A success between failures keeps the circuit closed."""
    hooks.fail(OPENS_AFTER - 1)
    delivery = hooks.made()
    hooks.acquire_slot(delivery)
    hooks.record_attempt(delivery)
    hooks.fail(OPENS_AFTER - 1)
    assert hooks.shown["state"] == "failing"
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)


def test_one_webhook_probes_after_the_pause(hooks: Hooks) -> None:
    """After the pause one webhook probes the endpoint while the others wait, and its success closes the circuit."""
    hooks.open_circuit()
    hooks.pass_time()
    probe, other = hooks.made(), hooks.made()
    assert isinstance(hooks.acquire_slot(probe), Admitted)
    assert isinstance(hooks.acquire_slot(other), Deferred)
    hooks.record_attempt(probe)
    assert hooks.shown["state"] == "healthy"
    assert isinstance(hooks.acquire_slot(other), Admitted)


def test_a_failed_probe_doubles_the_pause(hooks: Hooks) -> None:
    """Each failed probe doubles the pause, up to ten minutes."""
    hooks.open_circuit()
    pauses = []
    for _ in range(9):
        hooks.pass_time()
        probe = hooks.made()
        assert isinstance(hooks.acquire_slot(probe), Admitted)
        hooks.record_attempt(probe, FAILED)
        record = hooks.client.hgetall(keys.endpoint(ENDPOINT.id))
        pauses.append(float(record["open_until"]) - hooks.store.clock())
    assert pauses == pytest.approx([20, 40, 80, 160, 320, 600, 600, 600, 600], rel=0.05)


def test_a_lost_probe_is_followed_by_another(hooks: Hooks) -> None:
    """A probe whose worker died is followed by another when its lease ends."""
    hooks.open_circuit()
    hooks.pass_time()
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)
    hooks.pass_time("probe_until")
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)


def test_late_failures_do_not_extend_the_pause(hooks: Hooks) -> None:
    """Failures of attempts that began before the circuit opened do not extend the pause."""
    under_way = hooks.made()
    hooks.acquire_slot(under_way)
    hooks.open_circuit()
    before = hooks.client.hget(keys.endpoint(ENDPOINT.id), "open_until")
    hooks.record_attempt(under_way, FAILED)
    assert hooks.client.hget(keys.endpoint(ENDPOINT.id), "open_until") == before


def test_faults_of_our_own_do_not_count(hooks: Hooks) -> None:
    """Faults that are not the endpoint's change nothing about it."""
    hooks.fail(2 * OPENS_AFTER, AttemptReport(result="none", fault="proxy_error"))
    assert (hooks.shown["state"], hooks.shown["failures"]) == ("healthy", 0)


def test_a_schedule_ends_while_the_circuit_is_open(hooks: Hooks) -> None:
    """A deferral that is longer than the step uses up the step, and the last one rejects the webhook."""
    hooks.open_circuit()
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


def test_a_short_deferral_uses_up_no_step(hooks: Hooks) -> None:
    """A deferral that is shorter than the step uses up nothing."""
    hooks.open_circuit()
    delivery = hooks.made()
    hooks.client.hset(keys.delivery(delivery.id), "attempts", 4)
    for _ in range(5):
        assert isinstance(hooks.acquire_slot(delivery), Deferred)
    assert hooks.read(delivery.id).skipped == 0


# -- the end of an endpoint -------------------------------------------------------------------------------------------


def events(client: redis.Redis) -> list[dict[str, str]]:
    """Return the events of endpoints."""
    found: Any = client.xrange(keys.all_events)
    return [fields for _, fields in found if fields["type"].startswith("webhook.")]


def test_an_endpoint_that_fails_for_days_is_disabled(with_settings: WithSettings) -> None:
    """An endpoint that has only failed for the configured time is disabled by the next dead letter, with one event."""
    hooks = with_settings(webhook_disable_after_s=1000)
    hooks.fail(1)
    given_up = hooks.made()
    hooks.acquire_slot(given_up)
    assert hooks.record_attempt(given_up, FAILED, "dead").disabled is None
    hooks.client.hset(keys.endpoint(ENDPOINT.id), "failing_since", hooks.store.clock() - 1001)
    retried, last = hooks.made(), hooks.made()
    assert hooks.record_attempt(retried, FAILED).disabled is None
    assert hooks.record_attempt(last, FAILED, "dead").disabled == "failing"
    assert hooks.record_attempt(retried, FAILED, "dead").disabled is None
    (event,) = events(hooks.client)
    assert event["type"] == "webhook.endpoint_disabled"
    assert json.loads(event["data"]) == {"endpoint": ENDPOINT.id, "url": ENDPOINT.url, "why": "failing"}
    assert event["job"] == last.job_id
    assert (hooks.shown["state"], hooks.shown["disabled"]) == ("disabled", "failing")


def test_failures_are_kept_between_rare_webhooks(hooks: Hooks) -> None:
    """The record of a failing endpoint is kept long enough to see that it fails for days."""
    hooks.fail(1)
    assert hooks.line.ttl(keys.endpoint(ENDPOINT.id)) > 10 * 86_400


def test_a_success_resets_the_days_of_failure(with_settings: WithSettings) -> None:
    """A success resets the time since when an endpoint fails."""
    hooks = with_settings(webhook_disable_after_s=1000)
    hooks.fail(1)
    hooks.client.hset(keys.endpoint(ENDPOINT.id), "failing_since", hooks.store.clock() - 2000)
    hooks.record_attempt(hooks.made())
    assert hooks.record_attempt(hooks.made(), FAILED, "dead").disabled is None


@pytest.mark.parametrize("why", ["gone", "asked"])
def test_a_receiver_can_disable_its_endpoint(hooks: Hooks, why: str) -> None:
    """A receiver that answers 410 or asks for it disables its endpoint, and later webhooks are rejected."""
    report = AttemptReport(result="failed", duration_s=0.1, fault="gone", disable=why)
    assert hooks.record_attempt(hooks.made(), report, "dead").disabled == why
    assert hooks.acquire_slot(hooks.made()) == Rejected("endpoint_disabled", why)
    assert isinstance(hooks.acquire_slot(hooks.made("https://shop.example/other")), Admitted)


def test_an_enabled_endpoint_has_no_failures(hooks: Hooks) -> None:
    """An endpoint that is enabled again has no failures."""
    hooks.open_circuit()
    hooks.record_attempt(hooks.made(), AttemptReport(result="failed", disable="gone"), "dead")
    assert hooks.store.endpoints.enable(ENDPOINT.id)
    assert not hooks.store.endpoints.enable(ENDPOINT.id)
    assert (hooks.shown["state"], hooks.shown["failures"]) == ("healthy", 0)
    assert isinstance(hooks.acquire_slot(hooks.made()), Admitted)


def test_endpoints_are_found_by_id_and_url(hooks: Hooks) -> None:
    """An endpoint is found by its id and by any URL that leads to it."""
    hooks.fail(1)
    for named in (ENDPOINT.id, URL, "https://SHOP.example:443/hooks#x"):
        assert hooks.store.endpoints.find(named) == ENDPOINT
    assert hooks.store.endpoints.get("ep_unknown") is None


def test_endpoints_are_kept_longer_than_disabling_takes() -> None:
    """A failing endpoint is kept for longer than it takes to disable it."""
    assert EndpointLimits(disable_after_s=90 * 86_400).retention_s > 100 * 86_400


def test_a_healthy_endpoint_is_kept_for_a_day(hooks: Hooks) -> None:
    """The record of a healthy endpoint is kept for a day."""
    delivery = hooks.made()
    hooks.acquire_slot(delivery)
    assert 86_390 < hooks.line.ttl(keys.endpoint(ENDPOINT.id)) <= 86_400
    hooks.client.expire(keys.endpoint(ENDPOINT.id), 10)
    hooks.record_attempt(delivery)
    assert 86_390 < hooks.line.ttl(keys.endpoint(ENDPOINT.id)) <= 86_400


def test_the_list_of_endpoints_is_bounded(with_settings: WithSettings) -> None:
    """The list of endpoints has a maximum, and the oldest are removed."""
    hooks = with_settings(webhook_history_max=3)
    for number in range(6):
        hooks.acquire_slot(hooks.made(f"https://shop.example/{number}"))
    assert [found["url"][-1] for found in hooks.store.endpoints.listed()] == ["5", "4", "3"]
