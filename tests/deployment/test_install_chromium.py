"""ops/install-chromium installs where it may, and never stands in the way."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.deployment.conftest import ROOT

SCRIPT = ROOT / "ops/install-chromium"


def run(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with a PATH of our own."""
    return subprocess.run(
        ["/bin/sh", str(SCRIPT)], env={"PATH": str(path)}, capture_output=True, text=True, check=False, timeout=20
    )


def test_it_is_quiet_where_chromium_is(tmp_path: Path) -> None:
    """With both programs in place it does nothing and says nothing."""
    for name in ("chromium", "chromedriver"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    done = run(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_says_what_to_do_where_it_cannot(tmp_path: Path) -> None:
    """Without apt-get it names the packages, and the tests that need them skip."""
    done = run(tmp_path)
    assert done.returncode == 0
    assert "apt-get install chromium chromium-driver" in done.stderr
