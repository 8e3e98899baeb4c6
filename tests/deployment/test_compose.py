"""docker-compose.yml agrees with the code, and gives nobody more than they need."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest

from config.settings import PREFIX, SECRET_FIELDS, Settings
from tests.deployment.conftest import ROOT
from worker.cli.main import COMMANDS, cli
from worker.sandbox.options import DEFAULT_KEY, DEFAULT_PORT

SERVICES = ("redis", "worker", "flower", "sandbox")
OURS = ("worker", "flower", "sandbox")

VARIABLES = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {
    f"{PREFIX}{name.upper()}_FILE" for name in SECRET_FIELDS
}
"""What may be said to us."""


def seconds(text: str) -> int:
    """Return a duration such as `45s`."""
    assert text.endswith("s"), text
    return int(text[:-1])


def check(service: dict[str, Any]) -> str:
    """Return the command of a service's health check."""
    return " ".join(service["healthcheck"]["test"])


def test_the_services_are_these(compose: dict[str, Any]) -> None:
    """Nothing runs that these tests do not know."""
    assert set(compose["services"]) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_asked_how_it_is(compose: dict[str, Any], name: str) -> None:
    """Each has a health check that ends in time, and time to stop."""
    service = compose["services"][name]
    assert seconds(service["healthcheck"]["timeout"]) < seconds(service["healthcheck"]["interval"])
    assert seconds(service["stop_grace_period"]) >= 10


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_nobody(compose: dict[str, Any], name: str) -> None:
    """Each is an ordinary user without capabilities, on a file system that it cannot write."""
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
    """Every PHOTOGPT_ variable, given or asked for, or named in a comment, is one that Settings knows."""
    named = set(re.findall(rf"\b{PREFIX}\w*[A-Z]\b", (ROOT / "docker-compose.yml").read_text()))
    given = {name for service in compose["services"].values() for name in service.get("environment", {})}
    assert given <= named
    assert named <= VARIABLES


def test_no_secret_is_written_down(compose: dict[str, Any]) -> None:
    """A secret comes from outside, and an address holds no password."""
    secrets = {f"{PREFIX}{name.upper()}" for name in SECRET_FIELDS}
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if name in secrets and not re.fullmatch(r"\$\{.*\}", value):
                assert value == "redis://redis:6379/0"


def test_what_is_missing_is_said(compose: dict[str, Any]) -> None:
    """Without a key or a password nothing starts, and the message says where to put it."""
    environments = {name: compose["services"][name]["environment"] for name in ("worker", "flower")}
    for value in (environments["worker"]["PHOTOGPT_API_KEY"], environments["flower"]["PHOTOGPT_FLOWER_PASSWORD"]):
        assert re.fullmatch(r"\$\{\w+\?.*\.env.*\}", value)


def test_flower_and_redis_know_no_key(compose: dict[str, Any]) -> None:
    """Only workers get the API key and the webhook secrets."""
    for name in ("redis", "flower", "sandbox"):
        service = compose["services"][name]
        assert "env_file" not in service
        assert "PHOTOGPT_API_KEY" not in service.get("environment", {})


def test_published_on_loopback_only(compose: dict[str, Any]) -> None:
    """Flower's page is the one port, and the host's own."""
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert list(published) == ["flower"]
    assert [port.startswith("127.0.0.1:") for port in published["flower"]] == [True]


def test_redis_is_reached_by_ours_only(compose: dict[str, Any]) -> None:
    """Redis and the sandbox stand in a network that leads nowhere."""
    assert compose["networks"]["queue"]["internal"] is True
    assert compose["services"]["redis"]["networks"] == ["queue"]
    assert compose["services"]["sandbox"]["networks"] == ["queue"]


@pytest.mark.parametrize("name", OURS)
def test_commands_are_ours(compose: dict[str, Any], name: str) -> None:
    """Each command exists, and takes the options that it is given."""
    command, *argv = compose["services"][name]["command"]
    assert command in COMMANDS
    known = cli.get_command(click.Context(cli), command)
    assert known is not None
    assert known.make_context(command, argv).params


def test_workers_scale(compose: dict[str, Any]) -> None:
    """A worker has nothing that two could not have: `--scale worker=3` works."""
    assert not {"container_name", "hostname", "ports", "volumes"} & set(compose["services"]["worker"])


def test_the_check_of_a_worker_asks_that_worker(compose: dict[str, Any]) -> None:
    """The node that the health check asks is the one that the command names, on this container."""
    worker = compose["services"]["worker"]
    name = worker["command"][worker["command"].index("--name") + 1]
    assert name.endswith("@%h")
    assert f"--destination {name.removesuffix('%h')}$$(cat /etc/hostname)" in check(worker)


def test_a_worker_may_finish_its_calls(compose: dict[str, Any]) -> None:
    """After SIGTERM there is time for the longest call to PhotoGPT and to a receiver."""
    longest = max(Settings.model_fields[name].default for name in ("api_call_deadline_s", "webhook_deadline_s"))
    assert seconds(compose["services"]["worker"]["stop_grace_period"]) >= 2 * longest


def test_ports_agree(compose: dict[str, Any]) -> None:
    """Health checks and the published port ask where the services listen."""
    flower, sandbox = compose["services"]["flower"], compose["services"]["sandbox"]
    port = Settings.model_fields["flower_port"].default
    assert f"127.0.0.1:{port}/healthcheck" in check(flower)
    assert flower["ports"][0].endswith(f":{port}")
    assert f"127.0.0.1:{DEFAULT_PORT}/_sandbox" in check(sandbox)
    assert sandbox["command"][sandbox["command"].index("--port") + 1] == str(DEFAULT_PORT)


def test_the_sandbox_is_asked_for(compose: dict[str, Any]) -> None:
    """It starts with its profile only, and the file says how to use it."""
    assert compose["services"]["sandbox"]["profiles"] == ["sandbox"]
    text = (ROOT / "docker-compose.yml").read_text()
    for line in ("COMPOSE_PROFILES=sandbox", f"http://sandbox:{DEFAULT_PORT}/api", f"PHOTOGPT_API_KEY={DEFAULT_KEY}"):
        assert line in text


def test_what_is_mounted_exists(compose: dict[str, Any]) -> None:
    """Each file mounted from here is here, read-only; each volume is declared."""
    for volume in compose["services"]["redis"]["volumes"]:
        source, target, *mode = volume.split(":")
        if source.startswith("./"):
            assert (ROOT / source).is_file()
            assert mode == ["ro"]
            assert target in compose["services"]["redis"]["command"]
        else:
            assert source in compose["volumes"]
