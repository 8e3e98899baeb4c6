"""ops/Dockerfile builds an image of committed files that runs as an ordinary user."""

from __future__ import annotations

import fnmatch
import json
import tomllib
from typing import Any

from tests.deployment.conftest import ROOT
from worker.cli.main import COMMANDS

Instructions = list[tuple[str, str]]


def arguments(dockerfile: Instructions, instruction: str) -> list[str]:
    """Return the arguments of all instructions of one kind, in order."""
    return [text for name, text in dockerfile if name == instruction]


def test_it_runs_as_the_user_of_the_compose_file(dockerfile: Instructions, compose: dict[str, Any]) -> None:
    """The image runs as the numbered user that the compose file names."""
    assert dockerfile.index(("USER", arguments(dockerfile, "USER")[-1])) > max(
        place for place, (name, _) in enumerate(dockerfile) if name in {"FROM", "COPY", "RUN"}
    )
    assert arguments(dockerfile, "USER")[-1] == compose["services"]["worker"]["user"]


def test_the_python_version(dockerfile: Instructions) -> None:
    """Both stages of the image use one slim Python that the package supports."""
    bases = {text.split(" AS ")[0] for text in arguments(dockerfile, "FROM")}
    assert len(bases) == 1
    version = bases.pop().removeprefix("python:").removesuffix("-slim")
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, oldest.split(".")))


def test_copied_files(dockerfile: Instructions) -> None:
    """Every copied file exists and passes the .dockerignore, which excludes everything else."""
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignored[0] == "*"
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {source for text in arguments(dockerfile, "COPY") if "--from" not in text for source in text.split()[:-1]}
    for pattern in copied:
        assert any(fnmatch.fnmatch(name, pattern) for name in let_in), pattern
    for name in let_in - {"constraints.txt"}:
        assert (ROOT / name).exists(), name


def test_the_package_is_copied(dockerfile: Instructions) -> None:
    """The image's build has the README and every package that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = " ".join(arguments(dockerfile, "COPY")).split()
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages | {project["project"]["readme"], "pyproject.toml"} <= set(copied)


def test_the_default_command(dockerfile: Instructions, compose: dict[str, Any]) -> None:
    """The image runs a worker by default, with the health check of the compose file."""
    text = (ROOT / "ops/Dockerfile").read_text()
    entry = json.loads(text.split("ENTRYPOINT ")[1].splitlines()[0])
    command = json.loads(text.rsplit("\nCMD ", 1)[1].splitlines()[0])
    assert entry == ["photogpt-worker"]
    assert command[0] in COMMANDS
    assert command == compose["services"]["worker"]["command"]
    worker = compose["services"]["worker"]
    assert arguments(dockerfile, "HEALTHCHECK")[0].partition(" CMD ")[2] == " ".join(worker["healthcheck"]["test"][1:])
    address = worker["environment"]["PHOTOGPT_HTTP_ADDRESS"]
    assert f"PHOTOGPT_HTTP_ADDRESS={address}" in arguments(dockerfile, "ENV")


def test_no_secret_is_in_the_image(dockerfile: Instructions) -> None:
    """The image sets no PHOTOGPT_ variable but the address of its health check, and takes no build argument."""
    set_here = {
        word.partition("=")[0] for _, text in dockerfile for word in text.split() if word.startswith("PHOTOGPT_")
    }
    assert set_here == {"PHOTOGPT_HTTP_ADDRESS"}
    assert arguments(dockerfile, "ARG") == []


def test_environment_of_python(dockerfile: Instructions) -> None:
    """Python in the image writes logs unbuffered and writes no bytecode."""
    variables = " ".join(arguments(dockerfile, "ENV"))
    assert "PYTHONUNBUFFERED=1" in variables
    assert "PYTHONDONTWRITEBYTECODE=1" in variables
