"""The script that installs the Debian packages of the tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.deployment.conftest import ROOT
from tests.parts import MISSING
from tests.reporting import INSTALL, not_run

SCRIPT = ROOT / "ops/install-test-parts"
PROGRAMS = (
    "chromium",
    "chromedriver",
    "rabbitmq-server",
    "redis-server",
    "node",
    "npm",
    "ffprobe",
    "openssl",
    "prometheus",
    "go",
)


def program(path: Path, name: str, text: str = "exit 1") -> None:
    """Put a program of ours on the path."""
    (path / name).write_text(f"#!/bin/sh\n{text}\n")
    (path / name).chmod(0o755)


def run(path: Path) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script that finds no program but those in `path`."""
    script = path / "install-test-parts"
    text = SCRIPT.read_text(encoding="utf-8")
    assert 'PATH="$PATH:' in text
    assert "policy=/usr/sbin/policy-rc.d" in text
    text = text.replace('PATH="$PATH:', 'unused="').replace("policy=/usr/sbin/", f"policy={path}/")
    script.write_text(text, encoding="utf-8")
    return subprocess.run(
        ["/bin/sh", str(script)], env={"PATH": str(path)}, capture_output=True, text=True, check=False, timeout=20
    )


def test_it_is_silent_where_nothing_is_missing(tmp_path: Path) -> None:
    """With every program installed the script prints nothing and starts none of them."""
    for name in PROGRAMS:
        program(tmp_path, name)
    done = run(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_names_what_is_missing_without_apt(tmp_path: Path) -> None:
    """Without apt-get the script names the missing packages and the command that installs them."""
    program(tmp_path, "node")
    program(tmp_path, "npm")
    done = run(tmp_path)
    assert done.returncode == 0
    assert "apt-get install --no-install-recommends chromium chromium-driver" in done.stderr
    assert "rabbitmq-server redis-server ffmpeg openssl prometheus golang-go\n" in done.stderr


def test_it_installs_nothing_without_root(tmp_path: Path) -> None:
    """A user who is not root gets the command to run, and apt-get is not started."""
    program(tmp_path, "apt-get", f"echo started >{tmp_path}/started")
    program(tmp_path, "id", "echo 1000")
    done = run(tmp_path)
    assert done.returncode == 0
    assert "as root: apt-get install --no-install-recommends chromium chromium-driver" in done.stderr
    assert not (tmp_path / "started").exists()


def test_it_starts_no_service(tmp_path: Path) -> None:
    """While packages are installed, Debian's policy file forbids every service to start, and is gone afterwards."""
    for name in set(PROGRAMS) - {"rabbitmq-server", "redis-server"}:
        program(tmp_path, name)
    program(tmp_path, "id", "echo 0")
    program(tmp_path, "chmod", "exit 0")
    program(tmp_path, "rm", f'/bin/rm "$@"; echo "rm $*" >>{tmp_path}/log')
    program(
        tmp_path,
        "apt-get",
        f'{{ echo "$*"; read -r _; read -r line; echo "$line"; }} <{tmp_path}/policy-rc.d >>{tmp_path}/log',
    )
    program(tmp_path, "systemctl", f'echo "$*" >>{tmp_path}/log')
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "log").read_text().splitlines()
    assert log == [
        "update -qq",
        "exit 101",
        "install -y -qq --no-install-recommends rabbitmq-server redis-server",
        "exit 101",
        "disable --quiet rabbitmq-server.service epmd.service epmd.socket",
        "disable --quiet redis-server.service",
        f"rm -f {tmp_path}/policy-rc.d",
    ]


def test_a_failed_installation_is_reported(tmp_path: Path) -> None:
    """Where apt-get fails, the script prints its output and the missing packages, and the tests still start."""
    program(tmp_path, "apt-get", "echo 'no network'; exit 100")
    program(tmp_path, "id", "echo 0")
    program(tmp_path, "chmod", "exit 0")
    program(tmp_path, "rm", "exit 0")
    done = run(tmp_path)
    assert done.returncode == 0
    assert "no network" in done.stderr
    assert "apt-get failed. The tests need chromium" in done.stderr


def test_the_last_line_names_what_did_not_run() -> None:
    """The line names the missing part, the files of the skipped tests and the remedy; other skips cause no line."""
    slow, browser = ("tests/a.py", "Skipped: takes minutes"), f"Skipped: {MISSING}chromium is not installed"
    assert not_run([slow]) is None
    line = not_run([slow, ("tests/c.py", browser), ("tests/b.py", browser), ("tests/b.py", browser)])
    assert line == (
        f"NOT RUN, 3 tests: chromium is not installed (tests/b.py, tests/c.py). Install what is missing, {INSTALL}"
    )
