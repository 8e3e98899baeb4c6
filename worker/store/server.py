"""Checks the Redis server: whether this service can work with it, and whose jobs it holds."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

if TYPE_CHECKING:
    import redis
    from pydantic import SecretStr

    from worker.store.scripts import Scripts

NO_DATABASE = (
    "DB index is out of range",
    "invalid DB index",
    "value is out of range",
    "not an integer or out of range",
)

NO_LOGIN = ("WRONGPASS", "NOAUTH", "AUTH <password>", "invalid username-password pair", "Authentication required")
"""Errors of a login, also inside the error of another library."""

NO_TLS = "it does not speak TLS; write redis:// or amqp://, or the port for TLS"

MAX_CLOCK_OFFSET_S = 30.0
"""A larger difference of Redis' clock and this machine's is reported; webhook receivers allow five minutes."""


WITHOUT_LOGIN = "HELLO must be called with the client already authenticated"
"""Begins a long answer to a login without a password."""

REFUSALS = (
    ("maxmemory", "its memory is full; raise its maxmemory, or lower PHOTOGPT_RETENTION_S"),
    ("read only replica", "it is a replica, which takes no writes; write the primary into the URL, or use sentinel://"),
    ("NOREPLICAS", "fewer replicas are connected than its min-replicas-to-write; repair the replicas"),
    ("MISCONF", "it cannot write its file; free space on its disk, and read its log"),
    ("loading the dataset", "it reads its file; wait"),
    ("MASTERDOWN", "it is a replica whose primary does not answer; write the primary into the URL, or use sentinel://"),
    ("BUSY", "a script of another user runs for long; wait, or end it with SCRIPT KILL"),
)
"""What to do about a Redis that refuses commands for a while, by a part of the error's text."""


def refusal_of(error: Exception) -> str | None:
    """Return why Redis refuses a command for a while, and what to do; None for any other error."""
    text = str(error)
    return next((f"{advice} ({text})" for part, advice in REFUSALS if part in text), None)


class ServerFault(Exception):
    """A server answers, and the service cannot work with it. The message says what to do."""


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What a check has found."""

    #: Redis or Valkey, with its version.
    name: str
    #: Whether what is stored outlives a crash of the server.
    durable: bool
    #: Seconds by which Redis' clock is ahead of this machine's.
    clock_offset_s: float


def check_mode(info: dict[str, Any]) -> None:
    """Check what a server reports about itself (INFO).

    Raises:
        ServerFault: it is a Sentinel or a cluster, or may delete what it holds.
    """
    if "sentinel" in {info.get("redis_mode"), info.get("server_mode")}:
        raise ServerFault("it is a Sentinel; write sentinel:// and set PHOTOGPT_SENTINEL_MASTER")
    if info.get("redis_mode") == "cluster" or info.get("cluster_enabled"):
        raise ServerFault("it is a Redis Cluster, which Celery cannot use; use a single server or Sentinel")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ServerFault(f"its maxmemory-policy is {policy}, which can delete jobs; set it to noeviction")


def fault_of(error: Exception) -> ServerFault | None:
    """Return what to do about an error that does not pass; None for any other."""
    text = str(error)
    if any(known in text for known in NO_DATABASE):
        return ServerFault("it has no such database; lower the number at the end of the URL")
    if "unknown command" in text.lower():
        return _lacks_a_command(text)
    if isinstance(error, AuthenticationError) or any(known in text for known in NO_LOGIN):
        text = "it needs a password" if WITHOUT_LOGIN in text else text
        return ServerFault(f"it refuses the login ({text}); correct the user and the password in the URL")
    if isinstance(error, NoPermissionError) or "NOPERM" in text:
        return ServerFault(f"its user lacks a right ({text}); ops/redis-acl/users.acl lists what a worker needs")
    return _tls_fault(text)


def _lacks_a_command(text: str) -> ServerFault:
    if "sentinel" in text.lower():
        return ServerFault("it is no Sentinel; write redis:// or rediss://")
    return ServerFault(
        f"it lacks a command ({text.partition(',')[0]}); Redis 6.2 or newer is needed, with no command renamed"
    )


def _tls_fault(text: str) -> ServerFault | None:
    """Return what to do about a certificate that is refused, or a server without TLS."""
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return ServerFault(NO_TLS)
    if "CERTIFICATE_VERIFY_FAILED" not in text:
        return None
    advice = "set PHOTOGPT_REDIS_CA_FILE to the authority that signed it"
    if "mismatch" in text:
        advice = "write the host into the URL as the certificate names it"
    if "expired" in text:
        advice = "renew it"
    return ServerFault(f"its certificate is not trusted ({text}); {advice}")


def account_id(base_url: str, fingerprint: str) -> str:
    """Return the short id of an account, which may be shown."""
    return hashlib.sha256(f"{base_url}\n{fingerprint}".encode()).hexdigest()[:12]


def fingerprint_of(api_key: SecretStr | None) -> str:
    """Return a keyed hash that identifies an API key and does not reveal it; '' without a key."""
    if api_key is None:
        return ""
    return hmac.new(api_key.get_secret_value().encode(), b"photogpt-worker account", hashlib.sha256).hexdigest()


class Server:
    """The Redis server of one namespace."""

    def __init__(self, client: redis.Redis, scripts: Scripts) -> None:
        """Use one client."""
        self._client: Any = client
        self._scripts = scripts
        self._keys = scripts.keys

    def check(self) -> ServerReport:
        """Check that every command of this service works.

        Raises:
            ServerFault: the service cannot work with this server.
            redis.RedisError: the server is unavailable.
        """
        try:
            info: dict[str, Any] = self._client.info()
            check_mode(info)
            self._client.set(self._keys.probe, "", ex=60)
            self._client.copy(self._keys.probe, self._keys.probe)
        except RedisError as error:
            if fault := fault_of(error):
                raise fault from None
            if "same" not in str(error).lower():  # COPY refuses to copy a key to itself, and so exists
                raise
        name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
        return ServerReport(
            name=f"{name} {info.get('valkey_version') or info.get('redis_version', '')}",
            durable=bool(info.get("aof_enabled")),
            clock_offset_s=self.clock_offset_s(),
        )

    def clock_offset_s(self) -> float:
        """Return by how many seconds Redis' clock is ahead of this machine's."""
        seconds, microseconds = self._client.time()
        return float(seconds + microseconds / 1e6 - time.time())

    def check_account(
        self, base_url: str, api_key: SecretStr | None, *, replaces: str | None = None, register: bool = True
    ) -> None:
        """Check that the namespace holds no jobs of another account, and register this one if none is.

        Args:
            base_url: of PhotoGPT.
            api_key: only a keyed hash of it is stored.
            replaces: id of the account that may be replaced, or `loopback` for any account at 127.0.0.1: a sandbox.
            register: False only checks.

        Raises:
            ServerFault: another account is registered.
        """
        fingerprint = fingerprint_of(api_key)
        answer = self._scripts.register_account(
            account=self._keys.account,
            id=account_id(base_url, fingerprint),
            base_url=base_url,
            fingerprint=fingerprint,
            replaces=replaces,
            register=register,
        )
        if answer[0] == "ours":
            return
        _, other_id, other_url = answer
        own = "if this is another environment, set PHOTOGPT_NAMESPACE to a name of its own"
        if other_url != base_url:
            raise ServerFault(
                f"its namespace {self._keys.namespace} holds jobs of PhotoGPT at {other_url}, and this worker would "
                f"trigger them at {base_url}; {own}. To move the jobs on purpose, set "
                f"PHOTOGPT_REPLACE_ACCOUNT={other_id}"
            )
        raise ServerFault(
            f"another API key is registered for its namespace {self._keys.namespace}. If the new key belongs to the "
            f"same PhotoGPT account, set PHOTOGPT_REPLACE_ACCOUNT={other_id} and start again; {own}"
        )

    def claim_neighbor_check(self, for_s: float) -> bool:
        """Return whether this worker is to check the neighbors now; no other one is for `for_s` seconds."""
        return bool(self._client.set(self._keys.neighbor_check, "", nx=True, px=int(for_s * 1000)))

    def reject_key(self, api_key: SecretStr | None) -> None:
        """Record that PhotoGPT refuses the registered key: another key may replace it within an hour."""
        if self._client.hget(self._keys.account, "fingerprint") == fingerprint_of(api_key):
            self._client.hset(self._keys.account, "rejected_at", self._client.time()[0])
