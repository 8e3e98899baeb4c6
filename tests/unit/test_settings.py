"""What the environment may say, and how it is told that it said something wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter

from config.celery import QUEUES, celery_options
from config.settings import LOCAL_REDIS, PREFIX, SECRET_FIELDS, Settings, SettingsError, load_settings
from tests.running import WEBHOOK_SECRET

EXAMPLE = Path(__file__).parents[2] / "config" / ".env.example"
LINE = re.compile(rf"^#{PREFIX}(\w+)=(.*)$")

Say = Callable[..., Settings]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Say:
    """Set variables, and read the settings in a directory without `.env`."""
    monkeypatch.chdir(tmp_path)

    def read(**variables: object) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(f"{PREFIX}{name}", str(value))
        return load_settings()

    return read


def test_nothing_has_to_be_said(say: Say) -> None:
    """Every variable has a default; without a URL, Redis is on this machine."""
    settings = say()
    assert settings.api_key is None
    assert (settings.store_url, settings.queue_url) == (LOCAL_REDIS, LOCAL_REDIS)


def test_the_contracts_defaults(say: Say) -> None:
    """Those that the design names."""
    settings = say()
    assert (settings.job_poll_interval_s, settings.model_poll_interval_s) == (5, 300)
    assert settings.model_deadline_s == 2100
    assert settings.base_url == "https://developer.photogptai.com/api"


def test_every_wrong_value_is_listed_at_once(say: Say) -> None:
    """Nobody wants to start a service eight times to learn of eight mistakes."""
    wrong = {
        "BASE_URL": "photogptai.com",
        "API_READ_TIMEOUT_S": "soon",
        "API_CALL_DEADLINE_S": "0",
        "REDIS_URL": "postgres://db",
        "VISIBILITY_TIMEOUT_S": "5",
        "JOB_POLL_INTERVAL_S": "nan",
        "MODEL_POLL_INTERVAL_S": "inf",
        "UNCERTAIN_POLICY": "hope",
        "WEBHOOK_SECRETS": "whsec_short",
        "WEBHOOK_ALLOW_NETWORKS": "10.0.0.0/8,everything",
        "WEBHOOK_PORTS": "443,https",
        "WEBHOOK_SCHEMES": "https,gopher",
        "WEBHOOK_PROXY_URL": "socks://proxy",
        "WEBHOOK_OUTCOME_URL": "https://api.example.com/jobs",
        "LOG_LEVEL": "LOUD",
        "CONCURRENCY": "0",
    }
    with pytest.raises(SettingsError) as raised:
        say(**wrong)
    lines = str(raised.value).splitlines()[1:]
    assert {line.split(":")[0].strip() for line in lines} == {PREFIX + name for name in wrong}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK_SECRETS", "whsec_c2hvcnQtYnV0LXNlY3JldA"),
        ("WEBHOOK_SECRETS", "whsk_c2hvcnQtYnV0LXNlY3JldA"),
        ("WEBHOOK_PROXY_URL", "ftp://u:hunter2@proxy"),
        ("REDIS_URL", "postgres://user:hunter2@db"),
        ("BROKER_URL", "hunter2"),
    ],
)
def test_a_wrong_secret_is_not_repeated(say: Say, name: str, value: str) -> None:
    """The complaint goes to logs."""
    try:
        shown = repr(say(**{name: value}))
    except SettingsError as error:
        shown = str(error)
        assert PREFIX + name in shown
    assert "hunter2" not in shown
    assert "c2hvcnQ" not in shown


def test_secrets_are_masked_wherever_settings_are_shown(say: Say) -> None:
    """In repr, str, and dumped."""
    secrets = {
        "API_KEY": "key-hunter2",
        "REDIS_URL": "redis://:pass-hunter2@db:6379/0",
        "BROKER_URL": "amqp://u:broker-hunter2@mq",
        "SENTINEL_PASSWORD": "sentinel-hunter2",
        "FLOWER_PASSWORD": "flower-hunter2",
        "WEBHOOK_PROXY_URL": "http://u:proxy-hunter2@proxy:3128",
        "WEBHOOK_SECRETS": WEBHOOK_SECRET,
    }
    settings = say(**secrets)
    assert {name.lower() for name in secrets} == SECRET_FIELDS
    for shown in (repr(settings), str(settings), f"{settings.model_dump()}", settings.model_dump_json()):
        assert "hunter2" not in shown
        assert WEBHOOK_SECRET.removeprefix("whsec_") not in shown


def test_every_secret_field_may_be_a_file(say: Say, tmp_path: Path) -> None:
    """As container platforms hand secrets out; the last newline is theirs."""
    values = {
        "api_key": "from-a-file",
        "redis_url": "redis://elsewhere:6379/1",
        "broker_url": "amqp://mq",
        "sentinel_password": "sentinel-pass",
        "flower_password": "pass",
        "webhook_proxy_url": "http://proxy:3128",
        "webhook_secrets": f"{WEBHOOK_SECRET}, {WEBHOOK_SECRET}",
    }
    assert set(values) == SECRET_FIELDS
    for name, value in values.items():
        (tmp_path / name).write_text(value + "\n")
    settings = say(**{f"{name.upper()}_FILE": tmp_path / name for name in values})
    assert settings.store_url == "redis://elsewhere:6379/1"
    assert settings.queue_url == "amqp://mq"
    assert [secret.get_secret_value() for secret in settings.webhook_secrets] == [WEBHOOK_SECRET] * 2
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "from-a-file"


@pytest.mark.parametrize("key", ["hunter2\n", " hunter2", "hunter2\r\n"])
def test_a_newline_around_the_key_is_nobodys(say: Say, key: str) -> None:
    """Secrets that were written with an editor end with one."""
    assert say(API_KEY=key).api_key == SecretStr("hunter2")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_KEY", "hunter2\nX-Evil: hunter2"),
        ("API_KEY", "hunter2–hunter2"),
        ("API_KEY", "hunter2\x7f"),
        ("BASE_URL", "https://user:hunter2@gateway.example/api"),
        ("WEBHOOK_URL", "https://user:hunter2@shop.example/hook"),
        ("REDIS_URL", "redis://:hunter2/x@127.0.0.1:6379/0"),
        ("REDIS_URL", "redis://127.0.0.1:hunter2/0"),
        ("BROKER_URL", "amqp://user:hunter2#x@mq:5672//"),
        ("BROKER_URL", "amqp://mq:5672;amqp://user:hunter2/x@mq:5672//"),
    ],
)
def test_a_secret_that_cannot_be_used_is_not_quoted(say: Say, name: str, value: str) -> None:
    """Nor does it get as far as a library that would."""
    with pytest.raises(SettingsError, match=PREFIX + name) as raised:
        say(**{name: value})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("url", ["redis://:a;b@h:6379/0", "redis://:a%2Fb@[::1]:6379/0", "redis://h"])
def test_odd_urls_that_are_right(say: Say, url: str) -> None:
    """They go through as they are."""
    assert say(REDIS_URL=url).store_url == url


def test_several_brokers(say: Say) -> None:
    """Celery takes the next one if one is away."""
    assert say(BROKER_URL="amqp://a:5672;amqp://b:5672").queue_url == "amqp://a:5672;amqp://b:5672"


def test_the_variable_itself_comes_before_its_file(say: Say, tmp_path: Path) -> None:
    """Arguments, environment, files, `.env`."""
    (tmp_path / "key").write_text("from-a-file")
    (tmp_path / ".env").write_text("PHOTOGPT_API_KEY=from-dotenv\nPHOTOGPT_LOG_LEVEL=ERROR\n")
    settings = say(API_KEY_FILE=tmp_path / "key")
    assert settings.log_level == "ERROR"
    assert settings.api_key == SecretStr("from-a-file")
    assert say(API_KEY="said").api_key == SecretStr("said")
    assert load_settings(api_key="argument").api_key == SecretStr("argument")


def test_only_secrets_are_read_from_files(say: Say, tmp_path: Path) -> None:
    """A stray variable opens no file."""
    (tmp_path / "level").write_text("ERROR")
    assert say(LOG_LEVEL_FILE=tmp_path / "level").log_level == "INFO"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_secret_file_that_cannot_be_read_is_named(say: Say, tmp_path: Path, content: bytes | None) -> None:
    """Missing, or not text."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(SettingsError, match="PHOTOGPT_API_KEY_FILE"):
        say(API_KEY_FILE=tmp_path / "key")


def test_an_empty_variable_says_nothing(say: Say) -> None:
    """Compose files set variables to nothing all the time."""
    settings = say(API_KEY="", REDIS_URL="", JOB_POLL_INTERVAL_S="", WEBHOOK_SECRETS="")
    assert (settings.api_key, settings.store_url, settings.webhook_secrets) == (None, LOCAL_REDIS, ())


def test_lists_are_comma_separated(say: Say) -> None:
    """With or without spaces, empty parts left out."""
    settings = say(WEBHOOK_ALLOW_NETWORKS="10.0.0.0/8, ::1/128 ,,192.168.1.7", WEBHOOK_SECRETS=f",{WEBHOOK_SECRET},")
    assert [str(network) for network in settings.webhook_allow_networks] == ["10.0.0.0/8", "::1/128", "192.168.1.7/32"]
    assert len(settings.webhook_secrets) == 1


def test_a_base_url_loses_its_last_slash(say: Say) -> None:
    """Paths begin with one."""
    assert say(BASE_URL="http://127.0.0.1:8900/api/").base_url == "http://127.0.0.1:8900/api"


def test_waits_that_do_not_fit_are_refused(say: Say) -> None:
    """A call cannot be over before its connection stands."""
    with pytest.raises(SettingsError, match="API_CONNECT_TIMEOUT_S must not exceed"):
        say(API_CONNECT_TIMEOUT_S="30")


def test_webhooks_must_be_able_to_go_where_they_shall(say: Say) -> None:
    """Told at the start, not by dead webhooks; a host in an allowed network may listen anywhere."""
    with pytest.raises(SettingsError, match="WEBHOOK_URL names port 8443, which PHOTOGPT_WEBHOOK_PORTS"):
        say(WEBHOOK_URL="https://shop.example:8443/hooks")
    assert say(WEBHOOK_PORTS="443,8443").webhook_ports == (443, 8443)
    assert say(WEBHOOK_PORTS="443", WEBHOOK_ALLOW_NETWORKS="10.0.0.0/8").webhook_ports == (443,)


def test_settings_cannot_be_changed(say: Say) -> None:
    """They are read once."""
    settings = say()
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "log_level", "DEBUG")  # noqa: B010 - mypy knows that it is frozen


# -- .env.example ---------------------------------------------------------------------------------------------------


def test_the_example_lists_exactly_the_fields() -> None:
    """Each once, in the order of the class."""
    names = [found[1].lower() for line in EXAMPLE.read_text().splitlines() if (found := LINE.match(line))]
    assert names == list(Settings.model_fields)


def test_the_example_shows_the_defaults() -> None:
    """What stands behind the equal sign is what the class says."""
    for line in EXAMPLE.read_text().splitlines():
        if found := LINE.match(line):
            field = Settings.model_fields[found[1].lower()]
            if found[2] == "":
                assert field.default in (None, ()), line
            elif isinstance(field.default, tuple):
                assert found[2] == ",".join(map(str, field.default))
            else:
                adapter = TypeAdapter[Any](field.annotation or Any)
                assert adapter.validate_python(found[2]) == adapter.validate_python(field.default), line


def test_every_line_of_the_example_is_a_comment() -> None:
    """Copied as it is, it changes nothing; and each variable has a sentence above it."""
    lines = EXAMPLE.read_text().splitlines()
    assert all(line == "" or line.startswith("#") for line in lines)
    above = [lines[number - 1] for number, line in enumerate(lines) if LINE.match(line)]
    assert all(line.startswith("# ") and not line.startswith("# --") for line in above)


def test_the_example_can_be_used(tmp_path: Path, say: Say) -> None:
    """With every sign removed it is a valid environment that says the defaults."""
    plain = re.sub(rf"(?m)^#({PREFIX}\w+=)", r"\1", EXAMPLE.read_text())
    usual = say()
    (tmp_path / ".env").write_text(plain)
    assert load_settings() == usual


# -- Celery's options -----------------------------------------------------------------------------------------------


def test_nothing_waits_in_a_worker_until_it_would_be_handed_out_twice(say: Say) -> None:
    """The longest countdown is well below the visibility timeout."""
    settings = say(VISIBILITY_TIMEOUT_S=10)
    assert settings.max_countdown_s < celery_options(settings)["broker_transport_options"]["visibility_timeout"] / 2


def test_another_broker_gets_no_redis_options(say: Say) -> None:
    """RabbitMQ would refuse them."""
    options = celery_options(say(BROKER_URL="amqp://mq"))
    assert options["broker_transport_options"] == {}
    assert (options["broker_url"], options["result_backend"]) == ("amqp://mq", LOCAL_REDIS)


def test_the_default_queue_is_consumed(say: Say) -> None:
    """A bare send_task lands there."""
    options = celery_options(say())
    assert options["task_default_queue"] == "celery"
    assert {queue.name for queue in options["task_queues"]} == set(QUEUES)
    assert {route["queue"] for route in options["task_routes"].values()} < set(QUEUES)
    assert options["accept_content"] == ["json"]
