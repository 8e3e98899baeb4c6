"""A separate Valkey, so that the session's worker takes no message from the workers that these tests kill."""

from tests.separate import broker_url, valkey, worker_env

__all__ = ["broker_url", "valkey", "worker_env"]
