"""The names of libraries that no document promises, and that the service uses. See `ops/adr/0008`."""

from __future__ import annotations

import inspect
import re
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, Task
from celery.app.amqp import AMQP
from celery.app.task import Context
from celery.backends.redis import RedisBackend
from celery.concurrency.thread import TaskPool
from celery.worker import state
from celery.worker import strategy as celery_strategy
from celery.worker.consumer import Consumer
from celery.worker.request import Request
from kombu import Connection
from kombu.asynchronous import Hub
from kombu.transport import redis as kombu_redis
from kombu.utils import json as kombu_json
from pydantic_settings import EnvSettingsSource
from redis.connection import AbstractConnection as RedisConnection
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool

from config.environment import Environment
from worker.http import adapter
from worker.queue.consumer import ResilientConsumer
from worker.queue.pool import ThreadPool
from worker.queue.request import RedactedRequest
from worker.queue.strategy import JobRequest
from worker.queue.transport import BrokerAMQP, BrokerConnection, RedisChannel, RedisTransport
from worker.queue.unacked import RetryingQoS

ROOT = Path(__file__).parents[2]
ADR = ROOT / "ops" / "adr" / "0008-public-hooks-of-celery.md"

OVERRIDES: dict[Any, tuple[Any, set[str]]] = {
    RetryingQoS: (
        kombu_redis.QoS,
        {"append", "ack", "reject", "restore_visible", "restore_by_tag", "restore_unacked_once"},
    ),
    RedisChannel: (kombu_redis.Channel, {"conn_or_acquire", "QoS", "_brpop_read", "close"}),
    RedisTransport: (kombu_redis.Transport, {"Channel", "_deliver", "register_with_event_loop"}),
    BrokerConnection: (Connection, {"get_transport_cls"}),
    BrokerAMQP: (AMQP, {"Connection"}),
    ThreadPool: (TaskPool, {"on_start"}),
    Environment: (EnvSettingsSource, {"_load_env_vars"}),
    adapter._FinalResponse: (HTTPResponse, {"begin"}),
    adapter._HTTPConnection: (HTTPConnection, {"connect", "is_connected", "response_class", "send"}),
    adapter._HTTPSConnection: (HTTPSConnection, {"_tunnel", "connect", "is_connected", "response_class", "send"}),
    adapter._HTTPPool: (HTTPConnectionPool, {"ConnectionCls"}),
    JobRequest: (Request, {"execute_using_pool", "on_success", "revoked"}),
    RedactedRequest: (Request, {"reject", "argsrepr", "kwargsrepr"}),
    ResilientConsumer: (
        Consumer,
        {
            "ensure_connected",
            "on_ready",
            "on_send_event_buffered",
            "stop",
            "on_connection_error_before_connected",
            "on_connection_error_after_connected",
            "on_decode_error",
            "on_unknown_message",
            "on_invalid_task",
            "on_unknown_task",
        },
    ),
}
"""Our classes, and the methods and attributes of their libraries that they override."""

USED: dict[Any, set[str]] = {
    kombu_redis.Channel: {
        "pool",
        "conn_or_acquire",
        "_q_for_pri",
        "_get_message_priority",
        "active_queues",
        "_in_poll",
    },
    kombu_redis.Transport: {"brpop_timeout"},
    RedisConnection: {"handshake_metadata"},
    kombu_redis.QoS: {"can_consume_max_estimate", "pipe_or_acquire", "unacked_key", "unacked_index_key"},
    Request: {"send_event", "acknowledge", "request_dict", "message", "type", "stamps"},
    Consumer: {"call_soon_ack"},
    kombu_json: {"object_hook", "dumps", "loads"},
    TaskPool: {"apply_async"},
    Context: {"as_execution_options"},
    RedisBackend: {"get_key_for_task", "encode", "prepare_exception", "mark_as_failure"},
    Task: {"Strategy", "Request", "after_return"},
    celery_strategy: {"hybrid_to_proto2"},
    state: {
        "task_reserved",
        "task_ready",
        "revoked",
        "revoked_stamps",
        "should_stop",
        "should_terminate",
        "maybe_shutdown",
    },
}
"""Names that the service calls or reads."""


def parameters(function: Any) -> list[str]:
    """Return the names of a function's parameters."""
    return list(inspect.signature(function).parameters)


NAMES = sorted({(owner, name) for owner, listed in [*OVERRIDES.values(), *USED.items()] for name in listed}, key=str)


@pytest.mark.parametrize(("owner", "name"), NAMES, ids=str)
def test_the_library_has_the_name(owner: Any, name: str) -> None:
    """The libraries still have every name that the service overrides, calls or reads."""
    assert hasattr(owner, name)


@pytest.mark.parametrize("ours", OVERRIDES, ids=lambda ours: ours.__name__)
def test_every_override_is_listed(ours: type) -> None:
    """A class of ours overrides the listed names of its library, and no others."""
    base, listed = OVERRIDES[ours]
    own = {name for kind in ours.__mro__ if kind.__module__.startswith(("worker.", "config.")) for name in vars(kind)}
    listed_elsewhere = {name for other in OVERRIDES if other in ours.__mro__[1:] for name in OVERRIDES[other][1]}
    overridden = {name for name in own if hasattr(base, name) and not name.startswith("__") and name != "_abc_impl"}
    assert overridden - listed_elsewhere == listed


SIGNATURES = {
    kombu_redis.QoS.append: ["self", "message", "delivery_tag"],
    kombu_redis.QoS.ack: ["self", "delivery_tag"],
    kombu_redis.QoS.reject: ["self", "delivery_tag", "requeue"],
    kombu_redis.QoS.can_consume: ["self"],
    kombu_redis.QoS.restore_visible: ["self", "start", "num", "interval"],
    kombu_redis.QoS.restore_by_tag: ["self", "tag", "client", "leftmost"],
    kombu_redis.QoS.restore_unacked_once: ["self", "stderr"],
    kombu_redis.QoS.can_consume_max_estimate: ["self"],
    kombu_redis.Transport.register_with_event_loop: ["self", "connection", "loop"],
    HTTPResponse.begin: ["self"],
    HTTPSConnection._tunnel: ["self"],
    EnvSettingsSource._load_env_vars: ["self"],
    vars(kombu_redis.Channel)["_q_for_pri"]: ["self", "queue", "pri"],
    vars(kombu_redis.Channel.__mro__[1])["_get_message_priority"]: ["self", "message", "reverse"],
    kombu_redis.Channel.conn_or_acquire: ["self", "client"],
    Request.revoked: ["self"],
    vars(celery_strategy)["hybrid_to_proto2"]: ["message", "body"],
    Request.execute_using_pool: ["self", "pool", "kwargs"],
    Request.on_success: ["self", "failed__retval__runtime", "kwargs"],
    Request.reject: ["self", "requeue"],
    vars(Consumer)["call_soon_ack"]: ["self", "p", "args", "kwargs"],
    kombu_json.object_hook: ["o"],
    Consumer.on_decode_error: ["self", "message", "exc"],
    Consumer.on_unknown_message: ["self", "body", "message"],
    Consumer.on_invalid_task: ["self", "body", "message", "exc"],
    Consumer.on_unknown_task: ["self", "body", "message", "exc"],
    Consumer.on_connection_error_before_connected: ["self", "exc"],
    Consumer.on_connection_error_after_connected: ["self", "exc"],
}


@pytest.mark.parametrize(("function", "expected"), SIGNATURES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_an_override_is_called_as_before(function: Any, expected: list[str]) -> None:
    """The methods that the service overrides take the same parameters as they did."""
    assert parameters(function) == expected


def do_nothing() -> None:
    """The body of a task."""


def test_a_strategy_is_called_with_task_app_and_consumer() -> None:
    """Celery resolves `Task.Strategy` once for each task and consumer, and calls it with both and the app."""
    app = Celery("tests", set_as_current=False)

    class OwnStrategy(Task):  # type: ignore[type-arg]  # in Celery 5.6 it takes no parameters
        Strategy = staticmethod(lambda *args: args)  # type: ignore[assignment]

    task: Any = app.task(name="tests.task", base=OwnStrategy, shared=False)(do_nothing)
    assert task.start_strategy(app, "consumer") == (task, app, "consumer")


def test_celerys_strategy_is_still_the_default() -> None:
    """The strategy to which we hand over is the one that a task has by default, with the same parameters."""
    assert Task.Strategy == "celery.worker.strategy:default"
    assert parameters(celery_strategy.default)[:3] == ["task", "app", "consumer"]


def test_a_request_gives_its_tracer_to_the_pool_it_was_given() -> None:
    """`Request.execute_using_pool` calls `pool.apply_async(trace, args=…)`, where `accept` is put in front."""
    source = inspect.getsource(Request.execute_using_pool)
    assert re.search(r"pool\.apply_async\(\s*trace,\s*args=", source)


def test_a_consumer_has_what_the_strategy_reads() -> None:
    """Celery's own strategy reads the same attributes of the consumer as ours."""
    source = inspect.getsource(celery_strategy.default)
    for name in ("hostname", "connection_errors", "event_dispatcher", "on_task_request"):
        assert f"consumer.{name}" in source


def test_celery_warns_of_a_lost_connection_in_the_logger_that_is_silenced() -> None:
    """The logger whose warnings the worker drops is the one of Celery's consumer."""
    assert Consumer.__module__ == "celery.worker.consumer.consumer"


def test_the_hub_calls_back_each_time_round() -> None:
    """Kombu's event loop calls what stands in `on_tick` each time round, also after a reset, as a reconnect does."""
    hub: Any = Hub()
    calls = list[str]()
    hub.on_tick.add(lambda: calls.append("tick"))
    hub.call_soon(do_nothing)
    hub.run_once()
    hub.reset()
    hub.call_soon(do_nothing)
    hub.run_once()
    assert len(calls) == 2
    assert "`on_tick`" in ADR.read_text(encoding="utf-8")


def test_every_name_is_in_the_table() -> None:
    """The table of private names in the decision lists every name that is overridden, called or read."""
    table = ADR.read_text(encoding="utf-8")
    assert {name for _, name in NAMES if f"`{name}`" not in table} == set()
