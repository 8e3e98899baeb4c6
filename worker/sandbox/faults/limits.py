"""A token bucket: how many requests a second are let through."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """Let `rate` requests a second through, and one second's worth at once; time is an argument."""

    rate: float
    tokens: float
    filled_at: float

    @classmethod
    def full(cls, rate: float, now: float) -> "TokenBucket":
        """Return a full bucket."""
        return cls(rate, max(1.0, rate), now)

    def take(self, now: float) -> bool:
        """Take one token; return whether there was one."""
        self.tokens = min(max(1.0, self.rate), self.tokens + max(0.0, now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True
