"""The parts under `up` and `demo`: children, supervisor, embedded Valkey, receiver, tail."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from config.secrets import decode_webhook_secret, new_webhook_secret
from tests.waiting import wait_until
from worker.cli.local import embedded, supervisor
from worker.cli.local.embedded import EmbeddedBusy, EmbeddedValkey
from worker.cli.local.log_files import Tail
from worker.cli.local.processes import Child, free_port, listens
from worker.cli.local.receiver import VerifyingReceiver
from worker.cli.local.supervisor import Stage, Supervisor
from worker.webhooks.signing import sign

WAITS = [sys.executable, "-c", "import signal; signal.pause()"]
DEAF = "import signal; signal.signal(15, signal.SIG_IGN); print('on', flush=True); signal.pause()"


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed after a while."""
    child = Child("stubborn", [sys.executable, "-c", DEAF], log=tmp_path / "log")
    wait_until(lambda: "on" in (tmp_path / "log").read_text(), "it ignores SIGTERM")
    assert child.stop(within=0.1) == -9


def test_a_preferred_port_is_taken_if_it_is_free() -> None:
    """A port in use is replaced by another one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert listens(port)
        assert free_port(port) != port
    assert free_port(port) == port


def mind_until(running: Supervisor, found: Callable[[], bool], what: str) -> None:
    """Let a machine look after its parts until something is true."""

    def minded() -> bool:
        running.restart_dead()
        return found()

    wait_until(minded, what)


def test_parts_restart_later_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that dies again and again is started again after growing waits, and people are told."""
    monkeypatch.setattr(supervisor, "MIN_RESTART_S", 0.01)
    said: list[str] = []
    running = Supervisor(said.append)
    running.add("weak", Stage.WORKERS, lambda: Child("weak", [sys.executable, "-c", "raise SystemExit(7)"]))
    try:
        mind_until(running, lambda: sum("ended with exit code 7" in line for line in said) >= 3, "three deaths")
    finally:
        running.stop()
    waits = [line for line in said if "it restarts in" in line]
    assert waits[0].endswith("in 0.01 s")
    assert waits[1].endswith("in 0.02 s")


def test_a_part_that_cannot_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What start itself raises is told, and the part is tried again."""
    monkeypatch.setattr(supervisor, "MIN_RESTART_S", 0.01)
    said: list[str] = []
    running = Supervisor(said.append)
    starts = iter([Child("part", [sys.executable, "-c", ""])])

    def start() -> Child:
        try:
            return next(starts)
        except StopIteration:
            raise RuntimeError("no more of them") from None

    running.add("part", Stage.REDIS, start)
    mind_until(running, lambda: any("does not start: no more" in line for line in said), "it is told")
    running.stop()


def test_stages_end_in_reverse(tmp_path: Path) -> None:
    """What was started last ends first, and a second stop finds nothing to do."""
    order = tmp_path / "order"
    code = "import signal, sys; signal.signal(15, lambda *_: (open(sys.argv[1], 'a').write(sys.argv[2]), exit(0)));"
    code += "print('on', flush=True); signal.pause()"
    running = Supervisor(print)
    for stage, name in ((Stage.REDIS, "r"), (Stage.WORKERS, "w"), (Stage.FLOWER, "f")):
        argv = [sys.executable, "-c", code, str(order), name]
        running.add(name, stage, lambda argv=argv, name=name: Child(name, argv, log=tmp_path / name))  # type: ignore[misc]
        wait_until(lambda name=name: "on" in (tmp_path / name).read_text(), "it is ready")  # type: ignore[misc]
    running.stop()
    running.stop()
    assert order.read_text() == "fwr"


def test_kill_ends_everything_at_once() -> None:
    """A second Ctrl-C waits for nobody."""
    running = Supervisor(print)
    child = running.add("part", Stage.WORKERS, lambda: Child("part", WAITS))
    assert running.child("part") is child
    running.kill()
    running.stop()
    assert child.exit_code == -9


def test_two_servers_never_share_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory in use is refused in words, and free again once its server has ended."""
    monkeypatch.setattr(embedded, "LOCK_S", 0.1)
    first = EmbeddedValkey(tmp_path)
    try:
        with pytest.raises(EmbeddedBusy, match="PHOTOGPT_DATA_DIR"):
            EmbeddedValkey(tmp_path)
    finally:
        first.stop()
    EmbeddedValkey(tmp_path).stop()


def test_the_embedded_server_keeps_what_it_took(tmp_path: Path) -> None:
    """After a clean end, the same directory holds the same data."""
    server = EmbeddedValkey(tmp_path)
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    server.stop()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"yes"
    server.stop()


def test_the_receiver_believes_nothing() -> None:
    """A webhook counts once if its signature fits; a changed body, a foreign key and rubbish are refused."""
    secret = new_webhook_secret("hmac")
    receiver = VerifyingReceiver(secret)
    body = b'{"data": {"id": "job-1"}}'
    try:
        headers = signed(secret, body)
        assert receiver.take(headers, body) == 204
        assert receiver.take(headers, body) == 204
        assert receiver.take(headers, body + b" ") == 400
        assert receiver.take(signed(new_webhook_secret("hmac"), body), body) == 400
        assert receiver.take(signed(secret, b"[]"), b"[]") == 400
        assert receiver.take({}, body) == 400
    finally:
        receiver.close()
    assert receiver.verified == {"job-1": 1}
    assert len(receiver.refused) == 4


def signed(secret: str, body: bytes) -> dict[str, str]:
    """Return the headers of a webhook sent now."""
    now = int(time.time())
    signature = sign([decode_webhook_secret(secret)], webhook_id="msg_1", timestamp=now, body=body)
    return {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": signature}


def test_a_tail_gives_whole_lines(tmp_path: Path) -> None:
    """Lines that were there before, and halves of lines, are not given."""
    path = tmp_path / "log"
    assert Tail(path).lines() == []
    path.write_text("before\n")
    tail = Tail(path)
    with path.open("a") as file:
        file.write("one\ntw")
        file.flush()
        assert tail.lines() == ["one"]
        file.write("o\n")
        file.flush()
        assert tail.lines() == ["two"]
