"""URLs of Redis and of the broker: what is accepted, and what is refused with which advice."""

from __future__ import annotations

import pytest

from config.urls import check_broker_url, check_redis_url, masked


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("redis://h/photogpt", "the database must be a number"),
        ("redis://h/0?db=3", "write the database behind the host"),
        ("redis://h?db=3", "write the database behind the host"),
        ("redis://:pa;ss@h/0", "%3B"),
        ("redis://:pa ss@h/0", "%20"),
        ("redis://h:70000", "a port is a number up to 65535"),
        ("redis://::1:6379/0", "an IPv6 address stands in brackets"),
        ("redis:///0", "names no host"),
        ("valkey://h", "write redis:// instead of valkey://"),
        ("https://h", "write rediss:// instead of https://"),
        ("rabbitmq://h", "it must start with one of redis://"),
        ("sqs://", "it must start with one of redis://"),
        ("memory://", "it must start with one of redis://"),
        ("h:6379", "it must start with one of redis://"),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "the certificate is always verified"),
        ("rediss://h?ssl_ca_certs=/ca.pem", "PHOTOGPT_REDIS_CA_FILE"),
        ("redis://a;redis://b", "must be one URL"),
        ("sentinel://a/1;sentinel://b/2", "must not have different databases"),
    ],
)
def test_a_url_of_redis_is_refused(url: str, advice: str) -> None:
    """A URL that one of the libraries would read differently is refused with the advice what to write."""
    with pytest.raises(ValueError, match=advice) as raised:
        check_redis_url(url)
    assert "pa;ss" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("redis://h", "redis://h"),
        ("redis://user:pw%3B@[::1]:6379/15", "redis://user:pw%3B@[::1]:6379/15"),
        ("rediss://h/0?ssl_cert_reqs=required", "rediss://h/0"),
        ("sentinel://[::1];sentinel://[::1]:26380", "sentinel://[::1]:26379/0;sentinel://[::1]:26380/0"),
        ("sentinel://a;sentinel://b/2", "sentinel://a:26379/2;sentinel://b:26379/2"),
    ],
)
def test_a_url_of_redis_is_accepted(url: str, meant: str) -> None:
    """A URL is brought into the one form that every library reads alike, for the store and for the broker."""
    assert (check_redis_url(url), check_broker_url(url)) == (meant, meant)


def test_rabbitmq_is_a_broker_only() -> None:
    """RabbitMQ's schemes are accepted for the broker, a list too; a near miss is refused with the right scheme."""
    assert check_broker_url("amqp://a;amqp://b:5672//") == "amqp://a;amqp://b:5672//"
    with pytest.raises(ValueError, match="write amqp:// instead of rabbitmq://"):
        check_broker_url("rabbitmq://h")


@pytest.mark.parametrize(
    "url", ["redis://:pa;ss@h/0", "redis://u:p@ss;wd@h", "amqp://u:pass@a;amqp://u:pass@b", "redis://h?password=pass"]
)
def test_no_part_of_a_password_is_shown(url: str) -> None:
    """A masked URL has no part of a password, whatever characters the password has."""
    assert not {"pa", "ss", "pass"} & set(masked(url).replace("@", " ").replace(":", " ").replace(";", " ").split())
