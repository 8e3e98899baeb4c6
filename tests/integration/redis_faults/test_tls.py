"""Store, results and messages over TLS, with a private certificate authority."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from config.environment import SettingsError
from config.settings import Settings, load_settings
from tests.integration.redis_faults.conftest import Line
from tests.integration.redis_faults.servers import Server, certificates
from tests.parts import need_program
from tests.running import WorkerProcess
from tests.waiting import wait_until
from worker.queue.checks import check_store
from worker.sandbox.remote import SandboxProcess
from worker.store.connection import connect
from worker.store.lanes import leave_to_lane_monitor
from worker.store.server import ServerFault
from worker.store.store import open_store


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the authority's certificates."""
    return certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Debian's Redis, which accepts TLS only."""
    running = Server(
        tmp_path_factory.mktemp("tls"),
        binary=need_program("redis-server"),
        tls_port="yes",
        tls_cert_file=str(authority / "server.pem"),
        tls_key_file=str(authority / "server.key"),
        tls_ca_cert_file=str(authority / "ca.pem"),
        tls_auth_clients="no",
    )
    yield running
    running.stop()


def test_jobs_over_tls(
    server: Server, authority: Path, open_line: Callable[..., Line], sandbox: SandboxProcess
) -> None:
    """A producer and a worker that check the server's certificate run jobs over TLS."""
    producers = f"{server.url}?ssl_cert_reqs=required&ssl_ca_certs={authority / 'ca.pem'}"
    line = open_line(server, producers=producers, REDIS_CA_FILE=str(authority / "ca.pem"))

    ids = line.enqueue(3)

    line.assert_succeeded(ids)
    assert "Traceback" not in line.log()


def test_another_authority_is_refused(server: Server, tmp_path: Path) -> None:
    """A certificate of another authority is refused, with one line from the client and from the command."""
    other = certificates(tmp_path) / "ca.pem"
    with (
        connect(Settings(_env_file=None, redis_url=server.url, redis_ca_file=other)) as client,
        pytest.raises(redis.ConnectionError, match="certificate verify failed"),
    ):
        client.ping()

    environment = {"PHOTOGPT_REDIS_URL": server.url, "PHOTOGPT_REDIS_CA_FILE": str(other)}
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", "jobs"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 1
    assert "cannot be used: its certificate is not trusted" in done.stderr
    assert "certificate verify failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_file_the_systems_authorities_decide(server: Server) -> None:
    """Without a file of authorities a certificate of an unknown one is refused."""
    with (
        connect(Settings(_env_file=None, redis_url=server.url)) as client,
        pytest.raises(redis.ConnectionError, match="certificate verify failed"),
    ):
        client.ping()


def test_a_file_without_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without certificates is refused at the start, with the name of the variable."""
    (tmp_path / "ca.pem").write_text("no certificate")
    monkeypatch.setenv("PHOTOGPT_REDIS_CA_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(SettingsError, match=r"PHOTOGPT_REDIS_CA_FILE: .*ca\.pem cannot be read as certificates"):
        load_settings(redis_url="rediss://127.0.0.1/0")


def test_a_worker_ends_at_an_untrusted_certificate(
    server: Server, authority: Path, worker_env: dict[str, str], tmp_path: Path
) -> None:
    """A worker whose Redis has a certificate of another authority ends at its start, with the advice of `ping`."""
    other = certificates(tmp_path) / "ca.pem"
    variables = {"PHOTOGPT_REDIS_URL": server.url, "PHOTOGPT_REDIS_CA_FILE": str(other)}
    running = WorkerProcess(worker_env | variables, tmp_path / "worker.log")
    wait_until(lambda: running.child.exit_code is not None, "the worker ends", within=40)
    running.stop()
    assert running.child.exit_code == 1
    assert "set PHOTOGPT_REDIS_CA_FILE to the authority that signed it" in running.text()
    assert "Traceback" not in running.text()


def test_no_tls_to_a_server_that_needs_it(server: Server) -> None:
    """`redis://` to a port with TLS is refused with the right scheme."""
    settings = load_settings(redis_url=server.url.replace("rediss:", "redis:"))
    with (
        closing(open_store(settings, leave_to_lane_monitor)) as store,
        pytest.raises(ServerFault, match="it speaks TLS; write rediss://"),
    ):
        check_store(store, settings, register=False)


def test_a_certificate_of_another_name(server: Server, authority: Path) -> None:
    """A certificate that does not name the URL's host is refused with the advice to change the host."""
    url = server.url.replace("127.0.0.1", "localhost")
    settings = load_settings(redis_url=url, redis_ca_file=authority / "ca.pem")
    with (
        closing(open_store(settings, leave_to_lane_monitor)) as store,
        pytest.raises(ServerFault, match="write the host"),
    ):
        check_store(store, settings, register=False)
