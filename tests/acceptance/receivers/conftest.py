"""Starts each example with the command that its README gives."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts import missing, need_program
from tests.running import WEBHOOK_SECRET
from tests.waiting import wait_until
from worker.cli.local.processes import Child, free_port, listens

EXAMPLES = Path(__file__).parents[3] / "ops" / "receivers"
README = (EXAMPLES / "README.md").read_text(encoding="utf-8")
COMMANDS: dict[str, str] = dict(re.findall(r"```sh\n# (\w+)[^\n]*\n([^\n]+)\n```", README))
NEXT_SECRET = "whsec_bmV4dC1zZWNyZXQtbmV4dC1zZWNyZXQtbmV4dC0="
PACKAGE_ERRORS = ("ETARGET", "EJSONPARSE", "ERESOLVE")
"""Error codes of npm for a wrong package.json; other errors come from the registry or the network."""


@dataclass
class Example:
    """A running receiver."""

    url: str
    log: Path

    def handled(self) -> list[str]:
        """Return the lines that it printed for events."""
        return [line for line in self.log.read_text().splitlines() if line.startswith(("job.", "model."))]


@pytest.fixture(scope="module", params=COMMANDS)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    """Run one example after the other, with two secrets as during a rotation."""
    name: str = request.param
    folder = tmp_path_factory.mktemp(name) / "receivers"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__", "*.db"))
    command = f"exec {COMMANDS[name]}"
    if name == "express":
        install(folder / "express")
        command = "cd express && exec node receiver.js"  # npm install ran above, and npm start runs this command
    port = free_port()
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "WEBHOOK_SECRETS": f"{NEXT_SECRET},{WEBHOOK_SECRET}",
        "PORT": str(port),
    }
    log = folder / "log"
    child = Child(name, ["sh", "-c", f"cd '{folder}' && {command}"], env=env, log=log)
    try:
        wait_until(lambda: listens(port) or child.exit_code is not None, f"{name} listens; its log is {log}", within=40)
        assert child.exit_code is None, log.read_text()
        yield Example(f"http://127.0.0.1:{port}/webhooks", log)
    finally:
        child.stop()
    assert "Traceback" not in log.read_text(), "no input raises an exception in the example"


def install(folder: Path) -> None:
    """Install the example's packages with npm, or skip the test if the registry does not answer."""
    need_program("node")
    npm = need_program("npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=0", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        missing("npm's registry does not answer within a minute")
    if done.returncode:
        assert not any(word in done.stderr for word in PACKAGE_ERRORS), done.stderr
        missing(f"npm cannot install: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else '?'}")
