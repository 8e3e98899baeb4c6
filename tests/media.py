"""Checks media files with Debian's ffmpeg."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.parts import need_program


def probe(source: str) -> Any:
    """Return what ffprobe says about a file, after ffmpeg has decoded all of it without an error."""
    decoded = subprocess.run(
        [need_program("ffmpeg"), "-v", "error", "-i", source, "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (decoded.returncode, decoded.stderr) == (0, "")
    command = [need_program("ffprobe"), "-v", "error", "-of", "json", "-show_format", "-show_streams", source]
    return json.loads(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
