"""The account that pays for the jobs of a namespace: who may register, and who is refused with which advice."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from tests.contract.store.conftest import Line
from tests.running import keys
from worker.store.server import ServerFault

URL, OTHER_URL = "https://a.example/api", "https://b.example/api"
OLD, NEW = SecretStr("old-key"), SecretStr("new-key")


def test_a_key_is_rotated_with_the_id_of_the_message(line: Line) -> None:
    """A new key is refused in one sentence; the id that it names lets the key in, and the old key is then refused."""
    server = line.store.server
    server.check_account(URL, OLD)
    server.check_account(URL, OLD)
    with pytest.raises(ServerFault, match="another API key is registered") as refused:
        server.check_account(URL, NEW)
    name = str(refused.value).partition("PHOTOGPT_REPLACE_ACCOUNT=")[2].split()[0]
    server.check_account(URL, NEW, replaces=name)
    server.check_account(URL, NEW, replaces=name)
    with pytest.raises(ServerFault, match="PHOTOGPT_NAMESPACE"):
        server.check_account(URL, OLD)
    assert not {"old-key", "new-key"} & set(line.client.hvals(keys.account))


def test_a_refused_key_is_replaced_at_once(line: Line) -> None:
    """While PhotoGPT refuses the registered key, another one takes its place at the same URL only, within an hour."""
    server = line.store.server
    server.check_account(URL, OLD)
    server.reject_key(NEW)
    with pytest.raises(ServerFault):
        server.check_account(URL, NEW)
    server.reject_key(OLD)
    with pytest.raises(ServerFault, match=OTHER_URL):
        server.check_account(OTHER_URL, NEW)
    line.client.hincrby(keys.account, "rejected_at", -3601)
    with pytest.raises(ServerFault):
        server.check_account(URL, NEW)
    server.reject_key(OLD)
    server.check_account(URL, NEW)


def test_a_check_registers_nothing(line: Line) -> None:
    """`ping` checks and registers nothing; a worker without a key passes at the same URL."""
    server = line.store.server
    server.check_account(URL, NEW, register=False)
    server.check_account(URL, OLD)
    server.check_account(URL, None)
    with pytest.raises(ServerFault):
        server.check_account(OTHER_URL, None)


def test_a_sandbox_follows_a_sandbox(line: Line) -> None:
    """`up` may go on with a sandbox on another port, and never takes the jobs of an account of PhotoGPT."""
    server = line.store.server
    server.check_account("http://127.0.0.1:8001/api", OLD)
    server.check_account("http://127.0.0.1:8002/api", OLD, replaces="loopback")
    with pytest.raises(ServerFault, match=":8002"):
        server.check_account(URL, NEW)
    line.client.delete(keys.account)
    server.check_account(URL, NEW)
    with pytest.raises(ServerFault, match=URL):
        server.check_account("http://127.0.0.1:8002/api", OLD, replaces="loopback")
