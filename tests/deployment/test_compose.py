"""docker-compose.yml agrees with the code, and gives every service only the rights it needs."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import click
import pytest

from config.environment import PREFIX
from config.settings import SECRET_FIELDS, Settings
from tests.deployment.conftest import ROOT
from worker.cli.local.processes import free_port
from worker.cli.main import COMMANDS, cli
from worker.sandbox.options import DEFAULT_KEY, DEFAULT_PORT
from worker.telemetry.listener import Listener, probe

OWN_SERVICES = ("worker", "flower", "exporter", "sandbox")
MONITORING = ("exporter", "prometheus", "grafana")
SERVICES = ("redis", "prometheus", "grafana", *OWN_SERVICES)

VARIABLES = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {
    f"{PREFIX}{name.upper()}_FILE" for name in SECRET_FIELDS
}
"""The environment variables of all settings."""


def seconds(text: str) -> int:
    """Convert a duration such as `45s`."""
    assert text.endswith("s"), text
    return int(text[:-1])


def check(service: dict[str, Any]) -> str:
    """Return the command of a service's health check."""
    return " ".join(service["healthcheck"]["test"])


def test_the_services_are_these(compose: dict[str, Any]) -> None:
    """The compose file has exactly the services that these tests know."""
    assert set(compose["services"]) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_health_checks(compose: dict[str, Any], name: str) -> None:
    """Every service has a health check that ends before the next one, and at least 10 s to stop."""
    service = compose["services"][name]
    assert seconds(service["healthcheck"]["timeout"]) < seconds(service["healthcheck"]["interval"])
    assert seconds(service["stop_grace_period"]) >= 10


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_unprivileged(compose: dict[str, Any], name: str) -> None:
    """Every service runs as an ordinary user without capabilities, on a read-only file system."""
    service = compose["services"][name]
    user, _, group = service["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["restart"] == "unless-stopped"


def test_variables_are_settings(compose: dict[str, Any]) -> None:
    """Every PHOTOGPT_ variable in the compose file is a setting."""
    named = set(re.findall(rf"\b{PREFIX}\w*[A-Z]\b", (ROOT / "docker-compose.yml").read_text()))
    given = {name for service in compose["services"].values() for name in service.get("environment", {})}
    assert {name for name in given if name.startswith(PREFIX)} <= named
    assert named <= VARIABLES


def test_no_secret_is_in_the_file(compose: dict[str, Any]) -> None:
    """The compose file contains no secret and no password in a URL."""
    secrets = {f"{PREFIX}{name.upper()}" for name in SECRET_FIELDS}
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if name in secrets and not re.fullmatch(r"\$\{.*\}", value):
                assert value == "redis://redis:6379/0"


def test_missing_variables_are_named(compose: dict[str, Any]) -> None:
    """Compose refuses to start without an API key and a Flower password, and says where to set them."""
    environments = {name: compose["services"][name]["environment"] for name in ("worker", "flower")}
    for value in (environments["worker"]["PHOTOGPT_API_KEY"], environments["flower"]["PHOTOGPT_FLOWER_PASSWORD"]):
        assert re.fullmatch(r"\$\{\w+\?.*\.env.*\}", value)


def test_only_workers_get_the_key(compose: dict[str, Any]) -> None:
    """Only workers get the API key and the webhook secrets."""
    for name in set(SERVICES) - {"worker"}:
        service = compose["services"][name]
        assert "env_file" not in service
        assert "PHOTOGPT_API_KEY" not in service.get("environment", {})


def test_published_on_loopback_only(compose: dict[str, Any]) -> None:
    """Only the ports of the pages for people are published, on the host's loopback address."""
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"flower", "prometheus", "grafana"}
    assert {port.partition(":")[0] for ports in published.values() for port in ports} == {"127.0.0.1"}


def test_redis_and_sandbox_are_internal(compose: dict[str, Any]) -> None:
    """Redis and the sandbox are in an internal network only."""
    assert compose["networks"]["queue"]["internal"] is True
    assert compose["services"]["redis"]["networks"] == ["queue"]
    assert compose["services"]["sandbox"]["networks"] == ["queue"]


@pytest.mark.parametrize("name", OWN_SERVICES)
def test_commands_exist(compose: dict[str, Any], name: str) -> None:
    """The command of every service exists and accepts its options."""
    command, *argv = compose["services"][name]["command"]
    assert command in COMMANDS
    known = cli.get_command(click.Context(cli), command)
    assert known is not None
    known.make_context(command, argv)


def test_workers_scale(compose: dict[str, Any]) -> None:
    """The worker service has nothing that prevents a second container of it."""
    assert not {"container_name", "hostname", "ports", "volumes"} & set(compose["services"]["worker"])


@pytest.mark.parametrize("name", ["worker", "exporter"])
@pytest.mark.parametrize(("problems", "code"), [([], 0), (["a loop stands still"], 1)])
def test_the_health_check_asks_live(compose: dict[str, Any], name: str, problems: list[str], code: int) -> None:
    """The health check of worker and exporter succeeds while /live does, and asks the port that the process serves."""
    service = compose["services"][name]
    _, python, option, script = service["healthcheck"]["test"]
    assert (python, option) == ("python", "-c")
    port = service["environment"]["PHOTOGPT_HTTP_ADDRESS"].rpartition(":")[2]
    listener = Listener("127.0.0.1", free_port(), {"/live": probe(lambda: problems)})
    listener.start()
    try:
        assert f":{port}/live" in script
        script = script.replace(f":{port}/", f":{listener.server_address[1]}/")
        assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == code
    finally:
        listener.shutdown()
        listener.server_close()


def test_the_grace_period_of_a_worker(compose: dict[str, Any]) -> None:
    """A worker has time after SIGTERM for its slowest call to PhotoGPT and to a receiver."""
    max_call_s = max(Settings.model_fields[name].default for name in ("api_call_deadline_s", "webhook_deadline_s"))
    assert seconds(compose["services"]["worker"]["stop_grace_period"]) >= 2 * max_call_s


def test_ports_agree(compose: dict[str, Any]) -> None:
    """Health checks and the published port use the ports on which the services listen."""
    flower, sandbox = compose["services"]["flower"], compose["services"]["sandbox"]
    port = Settings.model_fields["flower_port"].default
    assert f"127.0.0.1:{port}/" in check(flower)
    assert flower["ports"][0].endswith(f":{port}")
    assert f"127.0.0.1:{DEFAULT_PORT}/_sandbox" in check(sandbox)
    assert sandbox["command"][sandbox["command"].index("--port") + 1] == str(DEFAULT_PORT)


def test_the_sandbox_has_a_profile(compose: dict[str, Any]) -> None:
    """The sandbox starts only with its profile, and the compose file explains how."""
    assert compose["services"]["sandbox"]["profiles"] == ["sandbox"]
    text = (ROOT / "docker-compose.yml").read_text()
    for line in ("COMPOSE_PROFILES=sandbox", f"http://sandbox:{DEFAULT_PORT}/api", f"PHOTOGPT_API_KEY={DEFAULT_KEY}"):
        assert line in text


def test_monitoring_has_a_profile(compose: dict[str, Any]) -> None:
    """Prometheus, Grafana and the exporter start only with their profile, and the compose file explains how."""
    assert {tuple(compose["services"][name]["profiles"]) for name in MONITORING} == {("monitoring",)}
    assert "COMPOSE_PROFILES=monitoring" in (ROOT / "docker-compose.yml").read_text()


def test_mounts(compose: dict[str, Any]) -> None:
    """Every mounted file exists and is read-only, and every volume is declared."""
    mounted = [(name, volume) for name, each in compose["services"].items() for volume in each.get("volumes", [])]
    assert {name for name, _ in mounted} == {"redis", "prometheus", "grafana"}
    for name, volume in mounted:
        source, target, *mode = volume.split(":")
        if source.startswith("./"):
            assert (ROOT / source).exists()
            assert mode == ["ro"]
            assert name != "redis" or target in compose["services"]["redis"]["command"]
        else:
            assert source in compose["volumes"]
