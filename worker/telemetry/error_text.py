"""The text of an error for logs and people."""

from __future__ import annotations

import re

CLIENT = re.compile(r"<redis\.client\.Redis\(.*?host=([^,]*),port=(\d+).*?\)>\)>\)>")
"""A Sentinel in an error of redis-py, with all options of its client."""


def error_text(error: object) -> str:
    """Return the text of an error; a Sentinel in it is host:port, without the options of redis-py's client."""
    return CLIENT.sub(r"\1:\2", str(error))
