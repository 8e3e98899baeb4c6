"""Values that JSON does not have: each becomes text, reaches the next task as it was, or is refused by its name."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from celery import Celery, chain, chord
from kombu.utils.json import loads

from tests.conftest import image_request, paid_generations
from tests.running import Receiver, WorkerProcess, keys
from tests.unit.factories import nested
from tests.waiting import wait_until
from worker.sandbox.remote import SandboxProcess

TASK = "photogpt.generate_image"
ORDER = UUID("6a0f7c5e-95a3-4ac4-a2b9-b3cf3ea0f8f6")
AT = datetime(2026, 11, 28, 16, 0, 0, 250_000, tzinfo=UTC)
NAN = float("nan")

TYPED: dict[str, Any] = {
    "at": AT,
    "day": date(2026, 11, 28),
    "opens": time(9, 30),
    "order": ORDER,
    "price": Decimal("19.90"),
    "lines": [{"at": AT}, (ORDER, None, True, 2**70)],
}
AS_TEXT: dict[str, Any] = {
    "at": "2026-11-28T16:00:00.250000+00:00",
    "day": "2026-11-28",
    "opens": "09:30:00",
    "order": str(ORDER),
    "price": "19.90",
    "lines": [{"at": "2026-11-28T16:00:00.250000+00:00"}, [str(ORDER), None, True, 2**70]],
}


def image(producer: Celery, **kwargs: Any) -> Any:
    """Return the signature of an image task."""
    return producer.signature(TASK, kwargs={"request": image_request(), **kwargs})


@pytest.fixture(autouse=True)
def clean_log(worker: WorkerProcess) -> Iterator[None]:
    """A worker whose log shows neither a traceback nor a value."""
    began = len(worker.text())
    yield
    log = worker.text()[began:]
    assert "Traceback" not in log
    assert "secret" not in log


def assert_refused(result: Any, client: redis.Redis, receiver: Receiver, message: str) -> None:
    """Check that a job ended as `invalid_request` in its result, record, event and webhook, each with one message."""
    with pytest.raises(Exception, match="invalid_request") as raised:
        result.get(timeout=30)
    assert message in str(raised.value)
    record: Any = client.hgetall(keys.job(result.id))
    assert (record["state"], record["reason"], record.get("attempts")) == ("failed", "invalid_request", None)
    assert message in record["error"]
    events: Any = client.xrange(keys.events(result.id))
    ((_, event),) = events
    assert message in json.loads(event["data"])["error"]
    (sent,) = wait_until(lambda: receiver.requests, "the webhook arrives")
    assert (sent.json["type"], message in sent.json["data"]["error"]) == ("job.failed", True)


# -- metadata and request -------------------------------------------------------------------------------------------


def test_a_value_with_one_text_form_becomes_that_text(
    producer: Celery, client: redis.Redis, receiver: Receiver, sandbox: SandboxProcess
) -> None:
    """Times, UUID and Decimal in metadata and request are text in outcome, record and webhook."""
    request = image_request() | {"options": TYPED}
    result = producer.send_task(TASK, kwargs={"request": request, "metadata": TYPED, "webhook_url": receiver.url})

    assert result.get(timeout=30)["metadata"] == AS_TEXT
    record: Any = client.hgetall(keys.job(result.id))
    assert (json.loads(record["metadata"]), json.loads(record["request"])["options"]) == (AS_TEXT, AS_TEXT)
    (sent,) = wait_until(lambda: receiver.requests, "the webhook arrives")
    assert sent.json["data"]["metadata"] == AS_TEXT
    assert paid_generations(sandbox) == 1


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "bytes in metadata": ({"metadata": {"at": b"secret"}}, "metadata.at: is of type bytes"),
    "bytes that are no text": ({"metadata": {"a": [{"b": b"\xff"}]}}, "metadata.a.0.b: is of type bytes"),
    "bytes in the request": ({"request": image_request() | {"style": b"x"}}, "request.style: is of type bytes"),
    "metadata is bytes": ({"metadata": b"secret"}, "metadata: is of type bytes"),
    "a tenant is bytes": ({"tenant": b"secret"}, "tenant: is of type bytes"),
    "an unknown type": (
        {"metadata": {"n": {"__type__": "product", "__value__": 1}}},
        "metadata.n: has the keys __type__ and __value__",
    ),
    "a wrong value of a known type": (
        {"metadata": {"n": {"__type__": "uuid", "__value__": "secret"}}},
        "metadata.n: has the keys __type__ and __value__",
    ),
    "not a number": ({"metadata": {"a": {"b": NAN}}}, "metadata.a.b: is not a finite number"),
    "infinite": (
        {"request": image_request() | {"seeds": [1, float("inf")]}},
        "request.seeds.1: is not a finite number",
    ),
    "half a surrogate pair": ({"metadata": {"a": "\ud83d"}}, "metadata.a: contains half a surrogate pair"),
    "half a surrogate pair in a key": ({"metadata": {"\ud83d": 1}}, r"metadata.\ud83d: contains half a surrogate pair"),
    "an argument's name": ({"\ud83d": 1}, r"\ud83d: contains half a surrogate pair"),
    "nested too deeply": ({"metadata": {"a": nested(400)}}, "metadata: is nested more than 100 levels deep"),
    "a decimal as a count": ({"request": image_request() | {"numImages": Decimal(2)}}, "request.numImages: "),
}


@pytest.mark.parametrize(("kwargs", "message"), REFUSED.values(), ids=REFUSED)
def test_a_value_without_a_text_form_is_refused_by_name(
    producer: Celery, client: redis.Redis, receiver: Receiver, kwargs: dict[str, Any], message: str
) -> None:
    """Such a value ends the job as `invalid_request` in result, record, event and webhook; PhotoGPT is not asked."""
    result = producer.send_task(TASK, kwargs={"request": image_request(), "webhook_url": receiver.url, **kwargs})

    assert_refused(result, client, receiver, message)


# -- the tasks that follow ------------------------------------------------------------------------------------------

NEXT = {"order": ORDER, "at": AT, "price": Decimal("1.50"), "raw": b"\xff\x00", "day": date(2026, 11, 28), "n": NAN}


def next_message(client: redis.Redis, decode: Callable[[Any], Any] = loads) -> tuple[dict[str, Any], Any]:
    """Return headers and body of the message in the queue `shop`, decoded as its own worker would."""
    wait_until(lambda: client.llen("shop"), "the next task is sent")
    envelope = decode(client.rpop("shop"))
    return envelope["headers"], decode(base64.b64decode(envelope["body"]))


def save(producer: Celery, **options: Any) -> Any:
    """Return the signature of a task of the shop that gets values of many types."""
    return producer.signature("shop.save", kwargs=NEXT, queue="shop", immutable=True).set(**options)


@pytest.mark.usefixtures("redis_broker")
@pytest.mark.parametrize("follows", ["chain", "link", "chord"])
def test_the_next_task_gets_its_types(producer: Celery, client: redis.Redis, follows: str) -> None:
    """The task after ours in a chain, a link or a chord's body gets the very types that it was given."""
    if follows == "chain":
        chain(image(producer), save(producer)).apply_async()
    elif follows == "link":
        image(producer).apply_async(link=save(producer))
    else:
        chord([image(producer), image(producer)], save(producer)).apply_async()

    _headers, (_args, kwargs, _embed) = next_message(client)
    assert repr(kwargs) == repr(NEXT)


@pytest.mark.usefixtures("redis_broker")
def test_an_errback_gets_its_types(producer: Celery, client: redis.Redis) -> None:
    """The errback of a failed job gets the very types that it was given."""
    failing = producer.signature(TASK, kwargs={"request": image_request(end="failed")})
    failing.apply_async(link_error=save(producer))

    _headers, (_args, kwargs, _embed) = next_message(client)
    assert repr(kwargs) == repr(NEXT)


@pytest.mark.usefixtures("redis_broker")
def test_options_of_the_next_task_may_be_times(producer: Celery, client: redis.Redis) -> None:
    """`eta` and `expires` of the next task may be datetimes, and its own headers may hold a UUID."""
    eta, expires = AT + timedelta(days=365), AT + timedelta(days=730)
    chain(image(producer), save(producer, eta=eta, expires=expires, headers={"order": ORDER})).apply_async()

    headers, _body = next_message(client)
    assert (headers["eta"], headers["expires"]) == (eta.isoformat(), expires.isoformat())
    assert headers["order"] == ORDER


@pytest.mark.usefixtures("redis_broker")
def test_a_header_of_our_task_may_be_a_uuid(producer: Celery, client: redis.Redis) -> None:
    """A job runs whose message has a header that is a UUID."""
    result: Any = chain(image(producer).set(headers={"order": ORDER}), save(producer)).apply_async()
    assert result.parent.get(timeout=30)["state"] == "succeeded"
    next_message(client)


@pytest.mark.usefixtures("redis_broker")
def test_an_unknown_type_reaches_the_next_task(producer: Celery, client: redis.Redis) -> None:
    """A value of a type that only the producer and the next task know is sent on unchanged."""
    product = {"__type__": "product", "__value__": {"sku": 7}}
    follows = producer.signature("shop.save", kwargs={"product": product}, queue="shop", immutable=True)
    result: Any = chain(image(producer), follows).apply_async()

    assert result.parent.get(timeout=30)["state"] == "succeeded"
    _headers, (_args, kwargs, _embed) = next_message(client, json.loads)
    assert kwargs == {"product": product}


@pytest.mark.usefixtures("redis_broker")
def test_a_bad_request_keeps_its_reason(producer: Celery, client: redis.Redis, receiver: Receiver) -> None:
    """A bad request before a task with a UUID is refused for its own reason, and its errback runs."""
    bad = producer.signature(TASK, kwargs={"request": {"modelID": "nanobanana"}, "webhook_url": receiver.url})
    first = bad.clone().set(link_error=save(producer))
    result: Any = chain(first, save(producer)).apply_async()

    assert_refused(result.parent, client, receiver, "request.prompt: is required")
    _headers, (_args, kwargs, _embed) = next_message(client)
    assert repr(kwargs) == repr(NEXT)


# -- ids ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("redis_broker")
def test_a_task_id_may_be_a_uuid(producer: Any, client: redis.Redis) -> None:
    """A job whose task id is a UUID has the UUID's text as its id, in a chain and alone."""
    first, second = uuid4(), uuid4()
    outcome = producer.send_task(TASK, kwargs={"request": image_request()}, task_id=first).get(timeout=30)
    assert outcome["id"] == str(first)
    chain(image(producer).set(task_id=second), save(producer)).apply_async()
    next_message(client)
    assert client.hget(keys.job(str(second)), "state") == "succeeded"


@pytest.mark.usefixtures("redis_broker")
@pytest.mark.parametrize("kwargs", [{}, {"metadata": {"a": b""}}], ids=["sound", "refused"])
def test_a_chord_counts_task_ids_that_are_uuids(producer: Any, kwargs: dict[str, Any]) -> None:
    """A chord whose tasks have UUIDs as ids runs its body, or fails if one of its tasks was refused."""
    header = [image(producer).set(task_id=uuid4()), image(producer, **kwargs).set(task_id=uuid4())]
    result = chord(header, producer.signature("photogpt.upscale_image")).apply_async()
    if kwargs:
        with pytest.raises(Exception, match=r"metadata\.a"):
            result.get(timeout=30)
    else:
        assert result.get(timeout=30)["kind"] == "upscale"


@pytest.mark.parametrize("job_id", [AT, b"secret", "\ud83d", 7, {"__type__": "product", "__value__": 1}], ids=repr)
def test_canceling_what_is_no_id(producer: Celery, job_id: Any) -> None:
    """Canceling a value that can be no id raises in the caller."""
    with pytest.raises(Exception, match="there is no job"):
        producer.send_task("photogpt.cancel", kwargs={"job_id": job_id}).get(timeout=30)


@pytest.mark.usefixtures("redis_broker")
def test_a_job_is_canceled_by_its_uuid(producer: Any, client: redis.Redis) -> None:
    """`photogpt.cancel` takes an id that is a UUID, and returns the outcome."""
    job_id = uuid4()
    producer.send_task(TASK, kwargs={"request": image_request(duration_s=600)}, task_id=job_id)
    wait_until(lambda: client.hget(keys.job(str(job_id)), "generation_id"), "PhotoGPT accepted the trigger")
    outcome = producer.send_task("photogpt.cancel", kwargs={"job_id": job_id}).get(timeout=30)
    assert (outcome["id"], outcome["state"]) == (str(job_id), "canceled")
    assert producer.send_task("photogpt.cancel", args=[job_id], task_id=uuid4()).get(timeout=30) == outcome
