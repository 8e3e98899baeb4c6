"""The contract of the inbox as files. The service and the producers' package are tested against the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent


def golden(name: str) -> Any:
    """Return one file, by its path without `.json`."""
    return json.loads((ROOT / f"{name}.json").read_text(encoding="utf-8"))
