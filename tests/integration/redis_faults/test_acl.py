"""`ops/redis-acl/users.acl`, on a real server: each user can do its own work, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, chord

from config.settings import Settings
from tests.conftest import image_request
from tests.integration.redis_faults.conftest import Line, connect_once
from tests.integration.redis_faults.servers import Server
from worker.client import Client
from worker.sandbox.remote import SandboxProcess

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


def test_our_client_submits_and_waits(
    working: Line, as_user: As, sandbox: SandboxProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """The user `client` may store a job and send its message."""
    client = Client(settings=Settings(_env_file=None, redis_url=as_user("client")))

    outcome = client.submit("image", image_request()).wait(timeout=30)

    assert outcome["state"] == "succeeded"
    assert "message.unsent" not in {getattr(record, "event", "") for record in caplog.records}, caplog.text
    client.close()


def test_a_worker_is_refused_nothing(working: Line, guarded: Server, as_user: As, sandbox: SandboxProcess) -> None:
    """No command of the user `worker` is refused, nor its answers to remote control."""
    app = Celery(broker=as_user("worker"), set_as_current=False)

    assert app.control.ping(timeout=3)

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
        ("client", ("GET", "celery-task-meta-x")),
        ("client", ("EVAL", "return redis.call('DEL', 'photogpt.unacked')", "0")),
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
    working.assert_succeeded(working.enqueue(1))
    with connect_once(as_user("watcher")) as client:
        assert client.xrange("photogpt:events", count=1)
        [job] = [client.hgetall(key) for key in list(client.scan_iter("photogpt:job:{*}"))[:1]]
        assert job["state"] == "succeeded"
        assert client.zcard("photogpt:lane:{jobs}") >= 0


def test_the_default_user_is_off(guarded: Server) -> None:
    """The server refuses a client without a user name."""
    with connect_once(guarded.url) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
