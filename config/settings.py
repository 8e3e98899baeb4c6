"""The environment, read once into a frozen record.

Every variable is `PHOTOGPT_` and the field's name in capitals; `config/.env.example` lists them all.
A secret may also be given as a file: `PHOTOGPT_API_KEY_FILE=/run/secrets/key`. Nobody else reads the environment.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from config.secrets import signing_key
from config.sentinel import whole

PREFIX = "PHOTOGPT_"
LOCAL_REDIS = "redis://127.0.0.1:6379/0"
VENDOR_URL = "https://developer.photogptai.com/api"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SettingsError(Exception):
    """The environment says something that cannot be used. The message lists every wrong variable at once."""


class SecretFiles(PydanticBaseSettingsSource):
    """Reads `PHOTOGPT_<FIELD>_FILE` for every field that holds a secret."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return the file's text, stripped, where the variable names one."""
        name = f"{PREFIX}{field_name.upper()}_FILE"
        path = os.environ.get(name)
        if not path or field_name not in SECRET_FIELDS:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeError) as error:
            raise SettingsError(f"{name}: cannot read {path}: {error}") from error

    def __call__(self) -> dict[str, Any]:
        """Return the values found, by field name."""
        values = {name: self.get_field_value(None, name)[0] for name in self.settings_cls.model_fields}
        return {name: value for name, value in values.items() if value is not None}


class Settings(BaseSettings):
    """What the service may be told. Durations are seconds; the field comments are the manual."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    # -- PhotoGPT ---------------------------------------------------------------------------------------------
    api_key: SecretStr | None = None  # bearer key of the account that pays
    base_url: str = VENDOR_URL  # where the API is
    api_connect_timeout_s: Seconds = 5  # until a connection stands
    api_read_timeout_s: Seconds = 15  # between two bytes of an answer
    api_call_deadline_s: Seconds = 20  # the whole call, whatever drips
    api_max_answer_bytes: int = Field(default=8_000_000, ge=10_000)  # a longer answer is refused

    # -- Redis ------------------------------------------------------------------------------------------------
    redis_url: SecretStr | None = None  # ledger, results and (by default) broker
    broker_url: SecretStr | None = None  # default: redis_url; amqp://… for RabbitMQ
    redis_ca_file: Path | None = None  # rediss://: who signed the server's certificate; default: the system's list
    sentinel_master: str | None = None  # sentinel://: the name under which Sentinel knows the primary
    sentinel_password: SecretStr | None = None  # of the Sentinels themselves; the servers' own stands in the URL
    visibility_timeout_s: int = Field(default=20, ge=10, le=3600)  # after which an unacknowledged message returns
    retention_s: int = Field(default=7 * 86_400, ge=60)  # how long a finished job's record stays
    idempotency_ttl_s: int = Field(default=86_400, ge=60)  # how long an idempotency key is remembered
    events_max_length: int = Field(default=100_000, ge=100)  # length of the service-wide stream

    # -- waiting ----------------------------------------------------------------------------------------------
    job_poll_interval_s: Seconds = 5  # between two looks at a job (docs/jobs)
    model_poll_interval_s: Seconds = 300  # between two looks at a model in training (docs/training)
    schedule: Literal["learned", "fixed"] = "learned"  # learned: when to look follows from how long others took
    poll_budget: float = Field(
        default=1, gt=0, le=20, allow_inf_nan=False
    )  # looks, as a multiple of the fixed schedule's
    job_poll_floor_s: Seconds = 1  # learned: between two looks at a job at least
    job_poll_ceiling_s: Seconds = 15  # and at most
    model_poll_floor_s: Seconds = 60  # learned: between two looks at a model at least (docs/training: minutes)
    model_poll_ceiling_s: Seconds = 900  # and at most
    list_polling: bool = True  # read GET /jobs where that takes fewer requests than single looks
    job_deadline_s: Seconds = 3600  # from enqueue, where the producer names none
    model_deadline_s: Seconds = 2100  # the same for training (docs/training: 35 minutes)
    not_found_grace_s: Seconds = 60  # a 404 this soon after the trigger is not believed
    uncertain_policy: Literal["reconcile", "fail", "retry"] = "reconcile"  # a trigger whose answer was lost
    uncertain_settle_s: Seconds = 30  # wait before GET /jobs is asked what became of it
    clock_skew_s: Seconds = 60  # how far PhotoGPT's clock may be from Redis'; beyond that, its answers' Date tells

    # -- not asking for too much; 0 means no cap of ours, PhotoGPT's own is learned from its 429 -----------------------
    max_active: int = Field(default=0, ge=0)  # generations under way at once, over all workers
    max_requests_per_s: float = Field(default=0, ge=0, allow_inf_nan=False)  # triggers and looks, over all workers

    # -- webhooks ---------------------------------------------------------------------------------------------
    webhook_url: str | None = None  # where jobs without a webhook_url of their own report to
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()  # whsec_… and whsk_…; all of them sign
    webhook_body: Literal["full", "thin"] = "full"  # thin: without images and videos
    webhook_max_bytes: int = Field(default=20_000, ge=1000)  # a larger body goes without images and videos
    webhook_outcome_url: str | None = None  # where the whole outcome can be read, with {id}; told in such bodies
    webhook_schemes: Annotated[tuple[Literal["https", "http"], ...], NoDecode] = ("https", "http")
    webhook_ports: Annotated[tuple[int, ...], NoDecode] = (80, 443)  # inside the allowed networks any
    webhook_allow_networks: Annotated[tuple[Network, ...], NoDecode] = ()  # CIDRs let through by the guard
    webhook_proxy_url: SecretStr | None = None  # webhooks go through it; which addresses are open it has to decide
    webhook_connect_timeout_s: Seconds = 5
    webhook_read_timeout_s: Seconds = 10
    webhook_deadline_s: Seconds = 15  # one attempt as a whole
    webhook_max_in_flight: int = Field(default=16, ge=1, le=1000)  # to one endpoint at once, over all workers
    webhook_max_per_s: float = Field(default=0, ge=0, allow_inf_nan=False)  # to one endpoint; 0 means no cap
    webhook_disable_after_s: Seconds = 5 * 86_400  # an endpoint that fails for so long is disabled
    webhook_history_max: int = Field(default=100_000, ge=100)  # ended webhooks that are kept; the oldest go
    metadata_max_bytes: int = Field(default=4096, ge=0)  # of a job's metadata as JSON

    # -- the process ------------------------------------------------------------------------------------------
    concurrency: int = Field(default=16, ge=8, le=500)  # Celery threads of one worker process
    call_concurrency: int = Field(default=32, ge=1, le=1000)  # HTTP calls at once per lane and process
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
    hide_prompts: bool = False  # prompts in Flower and logs become their length
    data_dir: Path = Path(".photogpt")  # where `up` keeps the embedded Valkey's append-only file

    # -- Flower -----------------------------------------------------------------------------------------------
    flower_address: str = "127.0.0.1"
    flower_port: int = Field(default=5555, ge=1, le=65535)
    flower_user: str = "photogpt"
    flower_password: SecretStr | None = None  # `up` makes one and says so

    @field_validator("base_url", "webhook_url")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError(f"must be an http(s) URL, not {value!r}")
        if value is not None and "@" in urlsplit(value).netloc:
            raise ValueError("must not hold a user name or password: logs show it")
        return value.rstrip("/") if value else value

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        key = value.get_secret_value().strip() if value is not None else ""
        if not key.isascii() or not key.isprintable():  # an HTTP library would quote it in its refusal
            raise ValueError("must be printable ASCII on one line, as a header can carry it")
        return SecretStr(key) if key else None

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        schemes = ("redis://", "rediss://", "sentinel://")
        if value is not None and not value.get_secret_value().startswith(schemes):
            raise ValueError(f"must start with one of {', '.join(schemes)}")
        return value

    @field_validator("redis_url", "broker_url")
    @classmethod
    def _is_whole(cls, value: SecretStr | None) -> SecretStr | None:
        return SecretStr(_with_a_port(whole(value.get_secret_value()))) if value is not None else None

    @field_validator("redis_ca_file")
    @classmethod
    def _is_readable(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.create_default_context(cafile=value)
            except OSError as error:  # an SSLError is one
                raise ValueError(f"{value} cannot be read as certificates: {error}") from None
        return value

    @field_validator("webhook_proxy_url")
    @classmethod
    def _is_a_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        url = urlsplit(value.get_secret_value()) if value is not None else None
        if url is not None and (url.scheme not in {"http", "https"} or not url.hostname):
            raise ValueError("must be an http(s) URL")
        return value

    @field_validator("webhook_outcome_url")
    @classmethod
    def _has_a_place_for_the_id(cls, value: str | None) -> str | None:
        if value is not None and (urlsplit(value).scheme not in {"http", "https"} or value.count("{id}") != 1):
            raise ValueError("must be an http(s) URL that holds {id} once")
        return value

    @field_validator("webhook_secrets", "webhook_allow_networks", "webhook_ports", "webhook_schemes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("webhook_secrets")
    @classmethod
    def _are_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, secret in enumerate(value, start=1):
            try:
                signing_key(secret.get_secret_value())
            except ValueError as error:
                raise ValueError(f"secret number {number}: {error}") from None
        return value

    @model_validator(mode="after")
    def _waits_fit(self) -> Self:
        if self.api_connect_timeout_s > self.api_call_deadline_s:
            raise ValueError("PHOTOGPT_API_CONNECT_TIMEOUT_S must not exceed PHOTOGPT_API_CALL_DEADLINE_S")
        return self

    @model_validator(mode="after")
    def _webhooks_may_go_there(self) -> Self:
        url = urlsplit(self.webhook_url or "")
        port = url.port or (443 if url.scheme == "https" else 80)
        if self.webhook_url and port not in self.webhook_ports and not self.webhook_allow_networks:
            raise ValueError(f"PHOTOGPT_WEBHOOK_URL names port {port}, which PHOTOGPT_WEBHOOK_PORTS does not list")
        return self

    @model_validator(mode="after")
    def _sentinels_know_a_name(self) -> Self:
        schemes = {urlsplit(url).scheme for url in (self.store_url, self.queue_url)}
        if "sentinel" in schemes and not self.sentinel_master:
            raise ValueError(
                "PHOTOGPT_SENTINEL_MASTER is missing: a sentinel:// URL needs the name of the primary (often mymaster)"
            )
        if self.redis_ca_file and "rediss" not in schemes:
            raise ValueError("PHOTOGPT_REDIS_CA_FILE says whom to trust, but no URL begins with rediss://")
        return self

    @property
    def store_url(self) -> str:
        """URL of the Redis that holds jobs and results."""
        return self.redis_url.get_secret_value() if self.redis_url else LOCAL_REDIS

    @property
    def queue_url(self) -> str:
        """URL of the broker that carries Celery's messages: `broker_url`, otherwise `store_url`."""
        return self.broker_url.get_secret_value() if self.broker_url else self.store_url

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """How the Sentinels themselves are spoken to: shortly, for one that is gone must not hold up the next."""
        secret = self.sentinel_password
        password = {"password": secret.get_secret_value()} if secret else {}
        return {"socket_timeout": 2, "socket_connect_timeout": 1, **password}

    @property
    def max_countdown_s(self) -> float:
        """No message may wait in a worker for longer: a fraction of the visibility timeout."""
        return self.visibility_timeout_s * 0.4

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: arguments, environment, `…_FILE`, `.env`."""
        del file_secret_settings
        return init_settings, env_settings, SecretFiles(settings_cls), dotenv_settings


def _with_a_port(url: str) -> str:
    """Return a URL, or several, whose ports are numbers; a library's refusal would quote what may be a password."""
    for part in re.split(r";(?=\w+://)", url):
        try:
            urlsplit(part).port  # noqa: B018 - it is read when it is asked for
        except ValueError:
            raise ValueError(
                "the port is no number; is a / or # in the password written as it is, not as %2F?"
            ) from None
    return url


URLS_WITH_PASSWORDS = ("redis_url", "broker_url", "webhook_proxy_url")
SECRET_FIELDS = frozenset({"api_key", "sentinel_password", "webhook_secrets", "flower_password", *URLS_WITH_PASSWORDS})


def load_settings(**overrides: Any) -> Settings:
    """Read the environment.

    Raises:
        SettingsError: something in it cannot be used; the message names every wrong variable.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [_explain(problem["loc"], problem["msg"]) for problem in error.errors(include_input=False)]
        raise SettingsError("the settings cannot be used:\n" + "\n".join(f"  {line}" for line in lines)) from None


def _explain(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{PREFIX}{str(location[0]).upper()}: {message}" if location else message
