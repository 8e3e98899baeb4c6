"""ops/Dockerfile makes an image of an ordinary user, out of what is committed."""

from __future__ import annotations

import fnmatch
import json
import tomllib
from typing import Any

from tests.deployment.conftest import ROOT
from worker.cli.main import COMMANDS

Instructions = list[tuple[str, str]]


def said(dockerfile: Instructions, instruction: str) -> list[str]:
    """Return what one kind of instruction says, in order."""
    return [text for name, text in dockerfile if name == instruction]


def test_it_runs_as_the_user_of_the_compose_file(dockerfile: Instructions, compose: dict[str, Any]) -> None:
    """The image ends as a user with a number, who is not root, and compose says the same."""
    assert dockerfile.index(("USER", said(dockerfile, "USER")[-1])) > max(
        place for place, (name, _) in enumerate(dockerfile) if name in {"FROM", "COPY", "RUN"}
    )
    assert said(dockerfile, "USER")[-1] == compose["services"]["worker"]["user"]


def test_its_python_is_one_of_ours(dockerfile: Instructions) -> None:
    """Both stages stand on the same Python, slim, and not older than the package allows."""
    bases = {text.split(" AS ")[0] for text in said(dockerfile, "FROM")}
    assert len(bases) == 1
    version = bases.pop().removeprefix("python:").removesuffix("-slim")
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert tuple(map(int, version.split("."))) >= tuple(map(int, oldest.split(".")))


def test_what_it_copies_is_let_through(dockerfile: Instructions) -> None:
    """What it copies exists, the .dockerignore lets it in, and everything else stays out."""
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignored[0] == "*"
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {source for text in said(dockerfile, "COPY") if "--from" not in text for source in text.split()[:-1]}
    for pattern in copied:
        assert any(fnmatch.fnmatch(name, pattern) for name in let_in), pattern
    for name in let_in - {"constraints.txt"}:
        assert (ROOT / name).exists(), name


def test_everything_the_package_names_is_copied(dockerfile: Instructions) -> None:
    """The README and the packages that pyproject.toml builds from are in the build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = " ".join(said(dockerfile, "COPY")).split()
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages | {project["project"]["readme"], "pyproject.toml"} <= set(copied)


def test_it_is_a_worker_unless_told_otherwise(dockerfile: Instructions, compose: dict[str, Any]) -> None:
    """Entry point and command make a worker; the health check is the one of the compose file."""
    text = (ROOT / "ops/Dockerfile").read_text()
    entry = json.loads(text.split("ENTRYPOINT ")[1].splitlines()[0])
    command = json.loads(text.rsplit("\nCMD ", 1)[1].splitlines()[0])
    assert entry == ["photogpt-worker"]
    assert command[0] in COMMANDS
    assert command == compose["services"]["worker"]["command"]
    check = compose["services"]["worker"]["healthcheck"]["test"][1].replace("$$", "$")
    assert said(dockerfile, "HEALTHCHECK")[0].partition(" CMD ")[2] == check


def test_nothing_secret_is_baked_in(dockerfile: Instructions) -> None:
    """No instruction sets a variable of ours: what is secret comes when the container starts."""
    assert not any("PHOTOGPT_" in text for _, text in dockerfile)
    assert said(dockerfile, "ARG") == []


def test_logs_are_not_held_back(dockerfile: Instructions) -> None:
    """Python writes its output at once, and writes no bytecode to a file system that is read-only."""
    variables = " ".join(said(dockerfile, "ENV"))
    assert "PYTHONUNBUFFERED=1" in variables
    assert "PYTHONDONTWRITEBYTECODE=1" in variables
