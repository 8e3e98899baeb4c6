"""pyright on a producer's code. mypy checks the same files in `make check`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = Path(__file__).parent / "typed"


def test_pyright_finds_each_mistake_and_no_other(tmp_path: Path) -> None:
    """In strict mode pyright accepts good code of a producer, and refuses each marked line of the bad one."""
    settings = {
        "include": [str(CODE)],
        "typeCheckingMode": "strict",
        "enableTypeIgnoreComments": False,
        "extraPaths": [str(ROOT), str(ROOT / "ops/client/src")],
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "-p", str(tmp_path), "--pythonpath", sys.executable]
    done = subprocess.run([*command, "--outputjson"], capture_output=True, text=True, check=False, timeout=100)
    found = json.loads(done.stdout)["generalDiagnostics"]
    refused = {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found}
    lines = (CODE / "bad.py").read_text(encoding="utf-8").splitlines()
    assert refused == {("bad.py", number) for number, line in enumerate(lines, 1) if "# type: ignore" in line}
