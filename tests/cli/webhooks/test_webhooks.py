"""`photogpt-worker webhooks`: list, show, resend, recover, endpoints, enable and keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner

from config.webhook_keys import public_key, signing_key
from tests.cli.conftest import Invoke
from tests.running import WEBHOOK_SECRET, Receiver
from tests.waiting import wait_until
from worker.cli.main import cli
from worker.cli.webhooks.group import WEBHOOKS
from worker.domain.endpoint import endpoint_of

ED25519 = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="

MakeWebhook = Callable[..., str]


@pytest.fixture
def make_webhook(producer: Celery, invoke: Invoke, worker: Any) -> MakeWebhook:
    """Return a function that makes a webhook, waits until it is in a state, and returns its id."""

    def make(url: str, state: str) -> str:
        kwargs = {"request": {}, "webhook_url": url}
        job = producer.send_task("photogpt.generate_image", kwargs=kwargs, ignore_result=True)

        def listed() -> list[Any]:
            lines = invoke("webhooks", "list", "--job", str(job.id), "--json").stdout.splitlines()
            found = [json.loads(line) for line in lines]
            return [one for one in found if one["state"] == state and (one["attempts"] or state == "pending")]

        (found,) = wait_until(listed, f"the webhook is {state}")
        return str(found["id"])

    return make


@pytest.mark.parametrize("name", WEBHOOKS)
def test_every_help_has_an_example(name: str) -> None:
    """The help of every webhooks command has an example and names the environment variables that it reads."""
    result = CliRunner().invoke(cli, ["webhooks", name, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"photogpt-worker webhooks {name}" in result.output
    assert "PHOTOGPT_" in result.output


def test_list_and_show(invoke: Invoke, make_webhook: MakeWebhook, receiver: Receiver) -> None:
    """`webhooks list` and `webhooks show` print webhooks as a table and as JSON, with attempts and bodies."""
    receiver.answers = lambda _: 410
    name = make_webhook(receiver.url, "dead")
    table = invoke("webhooks", "list", "--state", "dead", "--endpoint", receiver.url, "--since", "1h").stdout
    assert name in table
    assert "gone 410" in table
    assert invoke("webhooks", "list", "--state", "delivered").stderr == "no webhook matches\n"
    shown = invoke("webhooks", "show", name).stdout
    assert "attempt 1: the receiver answered 410" in shown
    assert '"type": "job.failed"' in shown
    assert json.loads(invoke("webhooks", "show", name, "--json").stdout)["endpoint"] == endpoint_of(receiver.url).id
    assert invoke("webhooks", "show", "msg_unknown").exit_code == 1


def test_resend(invoke: Invoke, make_webhook: MakeWebhook, receiver: Receiver) -> None:
    """`webhooks resend` sends an accepted webhook again and refuses an unknown one."""
    name = make_webhook(receiver.url, "delivered")
    done = invoke("webhooks", "resend", name)
    assert (done.exit_code, done.stdout) == (0, f"{name} will be sent at once\n")
    wait_until(lambda: len(receiver.requests) == 2, "it has come again")
    wait_until(lambda: ", manual" in invoke("webhooks", "show", name).stdout, "the history shows the manual attempt")
    refused = invoke("webhooks", "resend", "msg_unknown")
    assert refused.exit_code == 1
    assert "there is no webhook msg_unknown" in refused.stderr


def test_an_endpoint_from_disabled_to_recovered(invoke: Invoke, make_webhook: MakeWebhook, receiver: Receiver) -> None:
    """`webhooks enable` and `webhooks recover` send what a disabled endpoint has missed."""
    receiver.answers = lambda _: 410
    name = make_webhook(receiver.url, "dead")
    receiver.answers = lambda _: 204
    assert "disabled" in invoke("webhooks", "endpoints", "--disabled").stdout
    left_out = invoke("webhooks", "recover", "--since", "1h")
    assert left_out.stdout == "no webhook will be sent again\n"
    assert "1 webhook is left out" in left_out.stderr
    assert "is disabled" in invoke("webhooks", "resend", name).stderr
    enabled = invoke("webhooks", "enable", receiver.url)
    assert "is enabled" in enabled.stdout
    assert "was not disabled" in invoke("webhooks", "enable", receiver.url).stdout
    assert invoke("webhooks", "endpoints", "--disabled").stderr == "no endpoint is disabled\n"
    (line,) = invoke("webhooks", "endpoints", "--json").stdout.splitlines()
    assert json.loads(line)["state"] == "healthy"
    done = json.loads(invoke("webhooks", "recover", "--since", "1h", "--endpoint", receiver.url, "--json").stdout)
    assert (done["resent"], done["more"]) == (1, False)
    wait_until(lambda: len(receiver.requests) == 2, "it has come")


def test_an_unknown_endpoint(invoke: Invoke, client: Any) -> None:
    """`webhooks enable` of an unknown endpoint ends with exit code 1."""
    assert invoke("webhooks", "enable", "https://unknown.example/").exit_code == 1


def test_more_than_the_limit(invoke: Invoke, make_webhook: MakeWebhook, receiver: Receiver) -> None:
    """`webhooks recover --limit` prints that there are more webhooks than the limit."""
    receiver.answers = lambda _: 500
    for _ in range(2):
        make_webhook(receiver.url, "pending")
    wait_until(lambda: len(receiver.requests) >= 2, "both were tried")
    recover = ("webhooks", "recover", "--since", "1h", "--limit", "1")
    wait_until(lambda: "there are more" in invoke(*recover).stderr, "both have failed")


def test_keys_are_public(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """`webhooks keys` prints the public keys and no secrets."""
    monkeypatch.setenv("PHOTOGPT_WEBHOOK_SECRETS", f"{WEBHOOK_SECRET},{ED25519}")
    done = invoke("webhooks", "keys")
    assert done.stdout == "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=\n"
    assert done.stderr == "webhooks are also signed with 1 shared secret\n"
    monkeypatch.setenv("PHOTOGPT_WEBHOOK_SECRETS", ED25519)
    assert invoke("webhooks", "keys").stderr == ""
    monkeypatch.setenv("PHOTOGPT_WEBHOOK_SECRETS", "")
    assert "not signed" in invoke("webhooks", "keys").stderr


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
def test_a_new_key(invoke: Invoke, kind: str) -> None:
    """`webhooks keys --new` prints only the new key on standard output."""
    done = invoke("webhooks", "keys", "--new", kind)
    key = signing_key(done.stdout.strip())
    assert done.stderr == ("" if isinstance(key, bytes) else f"its public key: {public_key(key)}\n")
