"""A private RabbitMQ node on loopback ports, with its own data, name server and cookie; not the system's service."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from pathlib import Path

from tests.parts import need_program
from tests.waiting import wait_until
from worker.cli.local.processes import Child, free_port, listens

START_S = 90.0


class RabbitMQ:
    """One node that can be stopped, killed and started again on its ports and data."""

    def __init__(self, directory: Path) -> None:
        """Start the node and wait until it accepts connections; a test without RabbitMQ skips, or fails in CI."""
        self._server, epmd = need_program("rabbitmq-server"), need_program("epmd")
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory.absolute()
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        names, talk = free_port(), free_port()
        (directory / "rabbitmq.conf").write_text(
            "log.console = false\nlog.file.level = warning\ndisk_free_limit.absolute = 50MB\n"
        )
        (directory / "enabled_plugins").write_text("[].")
        self._environment = {
            "HOME": str(self._directory),  # the cookie
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"photogpt-test-{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(talk),
            "RABBITMQ_CONF_ENV_FILE": str(self._directory / "none"),
            "RABBITMQ_CONFIG_FILE": str(self._directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._directory / "data"),
            "RABBITMQ_LOG_BASE": str(self._directory / "log"),
            "RABBITMQ_PID_FILE": str(self._directory / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -start_epmd false "
                "-kernel inet_dist_use_interface {127,0,0,1}"
            ),
            "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the node, so that its pid is the node's
        }
        self.names = Child(
            "epmd",
            [epmd, "-address", "127.0.0.1", "-port", str(names)],
            log=directory / "epmd.log",
        )
        self.start()

    def start(self) -> None:
        """Start the node, also after it was stopped or killed."""
        self.child = Child("rabbitmq", [self._server], env=self._environment, log=self._directory / "rabbitmq.log")
        wait_until(
            lambda: listens(self.port) or self.child.exit_code is not None,
            f"RabbitMQ accepts connections; its log is {self._directory}/rabbitmq.log",
            within=START_S,
        )
        assert self.child.exit_code is None, (self._directory / "rabbitmq.log").read_text()

    def new_vhost(self) -> str:
        """Make a virtual host, which shares no message with the others of the node, and return its URL."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        user = f'<<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>'
        make = f'rabbit_vhost:add(<<"{name}">>, <<"test">>), rabbit_auth_backend_internal:set_permissions({user}).'
        subprocess.run(
            [need_program("rabbitmqctl"), "eval", make],
            env={**os.environ, **self._environment},
            check=True,
            capture_output=True,
            timeout=60,
        )
        return f"{self.url.removesuffix('//')}/{name}"

    def kill(self) -> None:
        """End the node and its children with SIGKILL, as a crash would."""
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.kill()

    def close(self) -> None:
        """End the node and its name server."""
        self.child.stop(within=30)
        self.names.stop()
