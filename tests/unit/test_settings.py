"""Settings: what is accepted, what is refused with which message, and the pages made from the class."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter

from config.celery import celery_options, queue_names
from config.environment import PREFIX, SettingsError, ignored_variables
from config.fields import split_address
from config.settings import LOCAL_REDIS, SECRET_FIELDS, Settings, load_settings
from ops import settings_page
from ops.settings_page import EXAMPLE, PAGE
from tests.running import WEBHOOK_SECRET

LINE = re.compile(rf"^#{PREFIX}(\w+)=(.*)$")

Load = Callable[..., Settings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Return a function that sets variables and loads the settings in a folder without `.env`."""
    monkeypatch.chdir(tmp_path)

    def read(**variables: object) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(f"{PREFIX}{name}", str(value))
        return load_settings()

    return read


def test_every_setting_has_a_default(load: Load) -> None:
    """Settings load from an empty environment; without a URL, Redis is on this machine."""
    settings = load()
    assert settings.api_key is None
    assert (settings.store_url, settings.queue_url) == (LOCAL_REDIS, LOCAL_REDIS)


def test_defaults_of_the_contract(load: Load) -> None:
    """Poll intervals, the training deadline and the API's URL have the defaults that the design fixes."""
    settings = load()
    assert (settings.job_poll_interval_s, settings.model_poll_interval_s) == (5, 300)
    assert settings.model_deadline_s == 2100
    assert settings.base_url == "https://developer.photogptai.com/api"


def test_variables_of_a_kubernetes_service_are_ignored(load: Load) -> None:
    """What Kubernetes sets for a Service named `photogpt-flower` is no setting, and the log says so."""
    settings = load(FLOWER_PORT="tcp://10.0.0.9:5555", FLOWER_SERVICE_HOST="10.0.0.9", FLOWER_ADRESS="::1")
    assert settings.flower_port == 5555
    said = ignored_variables(Settings.model_fields, SECRET_FIELDS)
    assert [sentence.split()[0] for sentence in said if "Kubernetes" in sentence] == [
        "PHOTOGPT_FLOWER_PORT",
        "PHOTOGPT_FLOWER_SERVICE_HOST",
    ]
    assert "PHOTOGPT_FLOWER_ADRESS in the environment is no setting and is ignored; did you mean" in "".join(said)


def test_every_wrong_value_is_listed_at_once(load: Load) -> None:
    """One error message lists every variable that cannot be used."""
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
        load(**wrong)
    lines = str(raised.value).splitlines()[1:]
    assert {line.split(":")[0].strip() for line in lines} == {PREFIX + name for name in wrong}


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "127.0.0.1:1", "[::]:9464", "[::1]:65535", "localhost:80"])
def test_an_http_address_is_host_and_port(load: Load, address: str) -> None:
    """Host and port may be IPv4, IPv6 in brackets, or a name."""
    assert load(HTTP_ADDRESS=address).http_address == address
    host, port = split_address(address)
    assert address in {f"[{host}]:{port}", f"{host}:{port}"}


@pytest.mark.parametrize(
    "address",
    ["9464", ":9464", "0.0.0.0", "0.0.0.0:", "::1:9464", "[::1]", "host:0", "host:65536", "host:x", "u@host:1"],
)
def test_a_wrong_http_address_is_named(load: Load, address: str) -> None:
    """An address without host or port, or with a port that does not exist, is refused with an example."""
    with pytest.raises(SettingsError, match="PHOTOGPT_HTTP_ADDRESS: must be host:port, such as"):
        load(HTTP_ADDRESS=address)


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
def test_a_wrong_secret_is_not_quoted(load: Load, name: str, value: str) -> None:
    """The error message for a wrong secret names the variable and does not contain the value."""
    try:
        shown = repr(load(**{name: value}))
    except SettingsError as error:
        shown = str(error)
        assert PREFIX + name in shown
    assert "hunter2" not in shown
    assert "c2hvcnQ" not in shown


def test_secrets_are_masked_wherever_settings_are_shown(load: Load) -> None:
    """Secrets do not appear in repr, str, model_dump and JSON of the settings."""
    secrets = {
        "API_KEY": "key-hunter2",
        "REDIS_URL": "redis://:pass-hunter2@db:6379/0",
        "BROKER_URL": "amqp://u:broker-hunter2@mq",
        "SENTINEL_PASSWORD": "sentinel-hunter2",
        "FLOWER_PASSWORD": "flower-hunter2",
        "API_PROXY_URL": "http://u:proxy-hunter2@proxy:3128",
        "WEBHOOK_PROXY_URL": "http://u:proxy-hunter2@proxy:3128",
        "WEBHOOK_SECRETS": WEBHOOK_SECRET,
    }
    settings = load(**secrets)
    assert {name.lower() for name in secrets} == SECRET_FIELDS
    for shown in (repr(settings), str(settings), f"{settings.model_dump()}", settings.model_dump_json()):
        assert "hunter2" not in shown
        assert WEBHOOK_SECRET.removeprefix("whsec_") not in shown


def test_every_secret_field_may_be_a_file(load: Load, tmp_path: Path) -> None:
    """Every secret can be read from a file; the newline at its end is dropped."""
    values = {
        "api_key": "from-a-file",
        "redis_url": "redis://elsewhere:6379/1",
        "broker_url": "amqp://mq",
        "sentinel_password": "sentinel-pass",
        "flower_password": "pass",
        "api_proxy_url": "http://proxy:3128",
        "webhook_proxy_url": "http://proxy:3128",
        "webhook_secrets": f"{WEBHOOK_SECRET}, {WEBHOOK_SECRET}",
    }
    assert set(values) == SECRET_FIELDS
    for name, value in values.items():
        (tmp_path / name).write_text(value + "\n")
    settings = load(**{f"{name.upper()}_FILE": tmp_path / name for name in values})
    assert settings.store_url == "redis://elsewhere:6379/1"
    assert settings.queue_url == "amqp://mq"
    assert [secret.get_secret_value() for secret in settings.webhook_secrets] == [WEBHOOK_SECRET] * 2
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "from-a-file"


@pytest.mark.parametrize("key", ["hunter2\n", " hunter2", "hunter2\r\n"])
def test_white_space_around_the_key_is_dropped(load: Load, key: str) -> None:
    """An API key is used without white space and newlines around it."""
    assert load(API_KEY=key).api_key == SecretStr("hunter2")


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
def test_an_unusable_secret_is_not_quoted(load: Load, name: str, value: str) -> None:
    """A key or URL that no library could use is refused at start, without quoting it."""
    with pytest.raises(SettingsError, match=PREFIX + name) as raised:
        load(**{name: value})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("url", ["redis://:a%3Bb@h:6379/0", "redis://:a%2Fb@[::1]:6379/0", "redis://h"])
def test_unusual_urls_are_accepted(load: Load, url: str) -> None:
    """Redis URLs with special characters in the password, an IPv6 host or no port stay unchanged."""
    assert load(REDIS_URL=url).store_url == url


def test_several_brokers(load: Load) -> None:
    """Several broker URLs, separated by semicolons, are passed to Celery unchanged."""
    assert load(BROKER_URL="amqp://a:5672;amqp://b:5672").queue_url == "amqp://a:5672;amqp://b:5672"


def test_the_variable_itself_comes_before_its_file(load: Load, tmp_path: Path) -> None:
    """Arguments take precedence over the environment, the environment over secret files, those over `.env`."""
    (tmp_path / "key").write_text("from-a-file")
    (tmp_path / ".env").write_text("PHOTOGPT_API_KEY=from-dotenv\nPHOTOGPT_LOG_LEVEL=ERROR\n")
    settings = load(API_KEY_FILE=tmp_path / "key")
    assert settings.log_level == "ERROR"
    assert settings.api_key == SecretStr("from-a-file")
    assert load(API_KEY="said").api_key == SecretStr("said")
    assert load_settings(api_key="argument").api_key == SecretStr("argument")


def test_only_secrets_are_read_from_files(load: Load, tmp_path: Path) -> None:
    """A `…_FILE` variable of a setting that is no secret is ignored."""
    (tmp_path / "level").write_text("ERROR")
    assert load(LOG_LEVEL_FILE=tmp_path / "level").log_level == "INFO"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_an_unreadable_secret_file_is_named(load: Load, tmp_path: Path, content: bytes | None) -> None:
    """A secret file that is missing or not text is refused with the variable's name."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(SettingsError, match="PHOTOGPT_API_KEY_FILE"):
        load(API_KEY_FILE=tmp_path / "key")


def test_an_empty_variable_counts_as_not_set(load: Load) -> None:
    """An empty variable, as compose files often set, leaves the default in force."""
    settings = load(API_KEY="", REDIS_URL="", JOB_POLL_INTERVAL_S="", WEBHOOK_SECRETS="")
    assert (settings.api_key, settings.store_url, settings.webhook_secrets) == (None, LOCAL_REDIS, ())


def test_lists_are_comma_separated(load: Load) -> None:
    """Lists are split at commas; spaces and empty parts are ignored."""
    settings = load(WEBHOOK_ALLOW_NETWORKS="10.0.0.0/8, ::1/128 ,,192.168.1.7", WEBHOOK_SECRETS=f",{WEBHOOK_SECRET},")
    assert [str(network) for network in settings.webhook_allow_networks] == ["10.0.0.0/8", "::1/128", "192.168.1.7/32"]
    assert len(settings.webhook_secrets) == 1


def test_a_base_url_loses_its_last_slash(load: Load) -> None:
    """A slash at the end of the base URL is dropped."""
    assert load(BASE_URL="http://127.0.0.1:8900/api/").base_url == "http://127.0.0.1:8900/api"


def test_a_connect_timeout_above_the_deadline_is_refused(load: Load) -> None:
    """A connect timeout that is longer than the deadline of the whole call is refused."""
    with pytest.raises(SettingsError, match="API_CONNECT_TIMEOUT_S must not exceed"):
        load(API_CONNECT_TIMEOUT_S="30")


def test_the_default_receiver_must_be_allowed(load: Load) -> None:
    """A default receiver on a port that is not allowed is refused at start; allowed networks allow every port."""
    with pytest.raises(SettingsError, match="WEBHOOK_URL names port 8443, which PHOTOGPT_WEBHOOK_PORTS"):
        load(WEBHOOK_URL="https://shop.example:8443/hooks")
    assert load(WEBHOOK_PORTS="443,8443").webhook_ports == (443, 8443)
    assert load(WEBHOOK_PORTS="443", WEBHOOK_ALLOW_NETWORKS="10.0.0.0/8").webhook_ports == (443,)


def test_settings_cannot_be_changed(load: Load) -> None:
    """Settings cannot be changed after they are loaded."""
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "log_level", "DEBUG")  # noqa: B010 - mypy would reject the assignment


# -- .env.example ---------------------------------------------------------------------------------------------------


def test_the_example_lists_exactly_the_fields() -> None:
    """The example lists every field once, in the order of the class."""
    names = [found[1].lower() for line in EXAMPLE.read_text().splitlines() if (found := LINE.match(line))]
    assert names == list(Settings.model_fields)


def test_the_example_shows_the_defaults() -> None:
    """The value after each equal sign is the default of the class."""
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
    """Every line of the example is a comment, and every variable has a sentence above it."""
    lines = EXAMPLE.read_text().splitlines()
    assert all(line == "" or line.startswith("#") for line in lines)
    above = [lines[number - 1] for number, line in enumerate(lines) if LINE.match(line)]
    assert all(line.startswith("# ") and not line.startswith("# --") for line in above)


def test_the_example_can_be_used(tmp_path: Path, load: Load) -> None:
    """The example with every # removed loads as the default settings."""
    plain = re.sub(rf"(?m)^#({PREFIX}\w+=)", r"\1", EXAMPLE.read_text())
    usual = load()
    (tmp_path / ".env").write_text(plain)
    assert load_settings() == usual


def test_the_pages_are_generated_from_the_class() -> None:
    """`ops/docs/settings.md` and `.env.example` are what `python -m ops.settings_page` writes today."""
    assert PAGE.read_text() == settings_page.page()
    assert EXAMPLE.read_text() == settings_page.example()


def test_every_setting_has_a_meaning() -> None:
    """Every setting has a sentence that says what it is, and names its unit if its name does."""
    meanings = {name: settings_page.meaning(name) for name in Settings.model_fields}
    assert [name for name, meaning in meanings.items() if not meaning.endswith(".")] == []
    units = {"_bytes": "bytes", "_s": "second"}
    wrong = [
        name
        for name, meaning in meanings.items()
        for suffix, unit in units.items()
        if name.endswith(suffix) and not name.endswith("_per_s") and unit not in meaning.lower()
    ]
    assert wrong == []


# -- Celery's options -----------------------------------------------------------------------------------------------


def test_a_countdown_ends_before_the_visibility_timeout(load: Load) -> None:
    """The maximum countdown is below half of the visibility timeout, so no waiting message is delivered twice."""
    settings = load(VISIBILITY_TIMEOUT_S=10)
    assert settings.max_countdown_s < celery_options(settings)["broker_transport_options"]["visibility_timeout"] / 2


def test_another_broker_gets_no_redis_options(load: Load) -> None:
    """A broker that is not Redis gets no Redis options, which RabbitMQ would refuse."""
    options = celery_options(load(BROKER_URL="amqp://mq"))
    assert options["broker_transport_options"] == {}
    assert (options["broker_url"], options["result_backend"]) == ("amqp://mq", LOCAL_REDIS)


def test_the_default_queue_is_consumed(load: Load) -> None:
    """Workers consume Celery's default queue, where a bare send_task puts its message, and accept JSON only."""
    settings = load()
    options, queues = celery_options(settings), set(queue_names(settings).values())
    assert options["task_default_queue"] == "celery"
    assert {queue.name for queue in options["task_queues"]} == queues
    assert {route["queue"] for route in options["task_routes"].values()} < queues
    assert options["accept_content"] == ["json"]
