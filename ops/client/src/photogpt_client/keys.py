"""The keys of the contract. Braces are literal."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one namespace."""

    namespace: str

    def __post_init__(self) -> None:
        """Check the namespace."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", self.namespace):
            raise ValueError("namespace: must be 1 to 40 letters, digits, - or _")

    @property
    def inbox(self) -> str:
        """The stream that takes jobs in."""
        return f"{self.namespace}:inbox"

    def job(self, job_id: str) -> str:
        """The record of a job."""
        return f"{self.namespace}:job:{{{job_id}}}"

    def batch(self, batch_id: str) -> str:
        """The record of a batch."""
        return f"{self.namespace}:batch:{{{batch_id}}}"
