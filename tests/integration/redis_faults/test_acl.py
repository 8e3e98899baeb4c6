"""`ops/redis-acl/users.acl`, on a real server: each user can do its own work, and nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, chord
from pydantic import SecretStr

from config.settings import Settings
from photogpt_client import Client, JobGone, RedisRefused, image
from tests.conftest import image_request
from tests.integration.redis_faults.conftest import Line, connect_once
from tests.integration.redis_faults.servers import Server
from tests.waiting import wait_until
from worker.cli.context import producer
from worker.cli.local.exporter import FleetCollector
from worker.sandbox.remote import SandboxProcess
from worker.store.lanes import leave_to_lane_monitor
from worker.store.store import open_store
from worker.telemetry.labels import QueueName

USERS = Path(__file__).parents[3] / "ops" / "redis-acl" / "users.acl"
RECORD = "photogpt:job:{x}"

As = Callable[[str], str]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the users of that file."""
    directory = tmp_path_factory.mktemp("guarded")
    shutil.copy(USERS, directory / "users.acl")
    server = Server(directory, aclfile=str(directory / "users.acl"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def as_user(guarded: Server) -> As:
    """Return the URL of a user."""
    return lambda name: f"redis://{name}:change-me-{name}@127.0.0.1:{guarded.port}/0"


@pytest.fixture(scope="module")
def working(guarded: Server, as_user: As, open_line: Callable[..., Line]) -> Line:
    """A worker that connects as the user `worker`."""
    return open_line(guarded, url=as_user("worker"))


def test_the_rights_of_a_client_are_documented() -> None:
    """The page on the inbox shows the line of the user `client`."""
    (line,) = [line for line in USERS.read_text().splitlines() if line.startswith("user client ")]
    assert line in (USERS.parents[1] / "docs" / "inbox.md").read_text(encoding="utf-8")


def test_a_producer_enqueues_and_gets_results(working: Line, as_user: As, sandbox: SandboxProcess) -> None:
    """The user `producer` may send tasks and chords and read their results."""
    url = as_user("producer")
    app = Celery(broker=url, backend=url, set_as_current=False)

    def job(name: str, **kwargs: Any) -> Any:
        return app.signature(f"photogpt.{name}", kwargs=kwargs)

    single = app.send_task("photogpt.generate_image", kwargs={"request": image_request()}).get(timeout=30)
    header: Any = [job("generate_image", request=image_request()) for _ in range(2)]
    body = chord(header, job("upscale_image")).apply_async().get(timeout=60)

    assert (single["state"], body["kind"]) == ("succeeded", "upscale")
    app.close()


def test_a_client_uses_the_inbox(working: Line, as_user: As, sandbox: SandboxProcess) -> None:
    """The user `client` may append to the inbox, and read stream, record and batch."""
    job = {"id": "x", "kind": "image", "request": image_request(), "batch": {"id": "b", "total": 1}}
    with connect_once(as_user("client")) as client:
        with client.pipeline() as pipeline:
            entry = pipeline.xadd("photogpt:inbox", {"job": json.dumps(job)}).execute()[0]
        wait_until(lambda: client.hget(RECORD, "state") == "succeeded", "the job ends")
        assert client.xrange("photogpt:inbox", entry, entry) == []
        assert client.xread({f"{RECORD}:events": "0-0"})
        assert client.hgetall("photogpt:batch:{b}")["succeeded"] == "1"
        assert client.xread({"photogpt:batch:{b}:events": "0-0"})


def test_the_producers_package_needs_no_other_right(working: Line, as_user: As, sandbox: SandboxProcess) -> None:
    """As the user `client` the package sends, follows, cancels and searches, and a wrong password is an error."""
    with Client(as_user("client")) as client:
        batch = client.submit_many([image(modelID="nanobanana", prompt="Dawn", extra={"sandbox": {"duration_s": 0.1}})])
        assert client.job(batch.jobs[0].id).wait(timeout=30)["state"] == "succeeded"
        assert client.batch(batch.id).wait(timeout=30)["succeeded"] == 1
        later = client.upscale(imageID="img_1", delay_s=900)
        later.cancel()
        assert later.wait(timeout=30)["state"] == "canceled"
        with pytest.raises(JobGone):
            client.job("unknown").wait()
    with Client(as_user("client").replace("change-me", "wrong")) as client, pytest.raises(RedisRefused):
        client.job("unknown").wait()


def test_a_worker_is_refused_nothing(working: Line, guarded: Server, as_user: As, sandbox: SandboxProcess) -> None:
    """No command of the user `worker` is refused, nor its answers to remote control, nor what lets it stop soon."""
    app = Celery(broker=as_user("worker"), set_as_current=False)

    working.assert_succeeded(working.enqueue(1))
    assert app.control.ping(timeout=3)

    with connect_once(as_user("worker")) as client:
        assert client.client_unblock(client.client_id()) == 0

    assert "permission" not in working.worker.text()
    assert "Traceback" not in working.worker.text()
    app.close()


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("producer", ("HGETALL", RECORD)),
        ("producer", ("EVAL", "return redis.call('HGETALL', KEYS[1])", "1", RECORD)),
        ("producer", ("LPUSH", "photogpt.polls", "x")),
        ("producer", ("BRPOP", "celery", "1")),
        ("producer", ("SET", "celery-task-meta-x", "forged")),
        ("producer", ("FLUSHALL",)),
        ("client", ("LPUSH", "celery", "x")),
        ("client", ("XREADGROUP", "GROUP", "workers", "w", "STREAMS", "photogpt:inbox", ">")),
        ("client", ("XDEL", "photogpt:inbox", "1-1")),
        ("client", ("HSET", RECORD, "state", "succeeded")),
        ("client", ("XADD", "photogpt:events", "*", "a", "b")),
        ("client", ("HGETALL", "photogpt:account")),
        ("client", ("GET", "celery-task-meta-x")),
        ("client", ("EVAL", "return 1", "0")),
        ("client", ("CONFIG", "GET", "*")),
        ("worker", ("CONFIG", "SET", "maxmemory", "1")),
        ("worker", ("FLUSHALL",)),
        ("worker", ("GET", "another-service")),
        ("worker", ("ACL", "LIST")),
        ("watcher", ("HSET", RECORD, "state", "succeeded")),
        ("watcher", ("XADD", "photogpt:events", "*", "a", "b")),
        ("watcher", ("EVAL", "return 1", "0")),
        ("watcher", ("LRANGE", "celery", "0", "-1")),
        ("watcher", ("GET", "celery-task-meta-x")),
        ("watcher", ("KEYS", "*")),
        ("exporter", ("EVAL", "return redis.call('HSET', KEYS[1], 'state', 'succeeded')", "1", RECORD)),
        ("exporter", ("HSET", RECORD, "state", "succeeded")),
        ("exporter", ("LPUSH", "celery", "x")),
        ("exporter", ("GET", "celery-task-meta-x")),
    ],
)
def test_other_commands_are_refused(as_user: As, name: str, command: tuple[str, ...]) -> None:
    """The server refuses each user the commands of the others."""
    with (
        connect_once(as_user(name)) as client,
        pytest.raises(redis.RedisError, match=r"(?i)permission"),
    ):
        client.execute_command(*command)


def test_a_watcher_reads(working: Line, as_user: As, sandbox: SandboxProcess) -> None:
    """The user `watcher` may read records, events and lanes."""
    (job_id,) = working.enqueue(1)
    working.assert_succeeded([job_id])
    with connect_once(as_user("watcher")) as client:
        assert client.xrange("photogpt:events", count=1)
        key = f"photogpt:job:{{{job_id}}}"
        assert key in client.scan_iter("photogpt:job:{*}")
        assert client.hgetall(key)["state"] == "succeeded"
        assert client.zcard("photogpt:lane:{jobs}") >= 0


def test_the_default_user_is_off(guarded: Server) -> None:
    """The server refuses a client without a user name."""
    with connect_once(guarded.url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_exporter_reads(working: Line, as_user: As, sandbox: SandboxProcess) -> None:
    """The user `exporter` may read all that the exporter serves, and nothing of it is absent."""
    working.assert_succeeded(working.enqueue(1))
    settings = Settings(_env_file=None, redis_url=SecretStr(as_user("exporter")))
    with closing(open_store(settings, leave_to_lane_monitor)) as store:
        families = list(FleetCollector(settings, store, producer(settings)).collect())
    values = {family.name: [sample.value for sample in family.samples] for family in families}
    assert values["photogpt_redis_up"] == values["photogpt_broker_up"] == [1]
    assert sum(values["photogpt_jobs_accepted"]) >= 1
    assert len(values["photogpt_broker_messages"]) == len(QueueName)
