"""A separate Valkey, so that no worker takes the jobs of these tests."""

from tests.separate import broker_url, valkey, worker_env

__all__ = ["broker_url", "valkey", "worker_env"]
