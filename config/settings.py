"""All settings, read once from environment variables into a frozen record.

A variable is `PHOTOGPT_` and the field's name in capitals. A secret may also be given as a file:
`PHOTOGPT_API_KEY_FILE=/run/secrets/key`. No module outside `config/` reads the environment. `python -m
ops.settings_page` writes `ops/docs/settings.md` and `config/.env.example` from this class.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config import consistency, environment
from config.environment import PREFIX, SettingsError
from config.fields import (
    ApiKey,
    BrokerUrl,
    CertificateFile,
    HttpAddress,
    HttpUrl,
    Namespace,
    Networks,
    OutcomeUrl,
    OutputKey,
    OutputsUrl,
    Ports,
    PrioritySteps,
    ProxyUrl,
    RedisUrl,
    Schemes,
    Seconds,
    SigningKeys,
    UrlPath,
)

DEFAULT_NAMESPACE = "photogpt"
LOCAL_REDIS = "redis://127.0.0.1:6379/0"
VENDOR_URL = "https://developer.photogptai.com/api"


class Settings(BaseSettings):
    """Every setting of the service. Durations are in seconds; each field's docstring is its manual."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=environment.DOTENV,
        env_file_encoding="utf-8-sig",  # an editor may begin the file with a byte order mark
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
    )

    # -- PhotoGPT ---------------------------------------------------------------------------------------------
    api_key: ApiKey | None = None
    """API key of the PhotoGPT account that pays; sent as a bearer token."""
    base_url: HttpUrl = VENDOR_URL
    """URL of PhotoGPT's API."""
    api_connect_timeout_s: Seconds = 5
    """Maximum time to open a connection to PhotoGPT, seconds."""
    api_read_timeout_s: Seconds = 15
    """Maximum silence within one answer of PhotoGPT, seconds."""
    api_call_deadline_s: Seconds = 20
    """Maximum time for one whole call to PhotoGPT, seconds, even if bytes still arrive."""
    api_max_answer_bytes: int = Field(default=8_000_000, ge=10_000)
    """Maximum size of an answer of PhotoGPT, bytes; a larger one is treated as an error."""
    api_max_idle_s: Seconds = 4
    """Seconds after which an idle connection to PhotoGPT is not used again: a NAT may have dropped it."""
    api_ca_file: CertificateFile | None = None
    """PEM file with certificate authorities to trust for PhotoGPT's API, in addition to those of the system."""
    api_proxy_url: ProxyUrl | None = None
    """HTTP proxy for PhotoGPT's API, such as http://user:password@proxy:3128. HTTPS_PROXY and the like are ignored."""

    # -- Redis and the broker ---------------------------------------------------------------------------------
    redis_url: RedisUrl | None = None
    """URL of Redis for jobs and results: redis://, rediss:// (TLS), sentinel://. Default: redis://127.0.0.1:6379/0."""
    broker_url: BrokerUrl | None = None
    """URL of Celery's broker, if it is not the same Redis: another Redis, or amqp://... for RabbitMQ."""
    redis_ca_file: CertificateFile | None = None
    """For rediss://: PEM file with the certificate authority of the Redis server. Default: the system's list."""
    sentinel_master: str | None = None
    """For sentinel://host:port;sentinel://host:port/0: the name of the primary in Sentinel, often mymaster."""
    sentinel_password: SecretStr | None = None
    """Password of the Sentinels themselves; the password of the Redis servers belongs in the URL."""
    namespace: Namespace = DEFAULT_NAMESPACE
    """Begins the name of every key and queue; each environment on one Redis or RabbitMQ needs its own."""
    queue: str | None = Field(default=None, min_length=1, max_length=200)
    """Queue that producers send to. Default: celery; with another namespace than photogpt, <namespace>.celery."""
    queue_separator: str = Field(default="\x06\x16", min_length=1)
    """Broker on Redis: what producers' `broker_transport_options` call `sep`. Default: kombu's, the bytes 6 and 22."""
    priority_steps: PrioritySteps = (0, 3, 6, 9)
    """Broker on Redis: what producers' `broker_transport_options` call `priority_steps`, comma-separated."""
    replace_account: str | None = None
    """Id of the PhotoGPT account (URL and key) that may be replaced in the namespace; a refused worker prints it."""
    visibility_timeout_s: int = Field(default=20, ge=10, le=3600)
    """Seconds after which a broker on Redis delivers an unacknowledged message again."""
    retention_s: int = Field(default=7 * 86_400, ge=60)
    """How long the record of an ended job is kept, seconds (604800 is 7 days)."""
    idempotency_ttl_s: int = Field(default=86_400, ge=60)
    """How long an idempotency key is remembered, seconds (86400 is 1 day)."""
    events_max_length: int = Field(default=100_000, ge=100)
    """Events kept in the service-wide stream photogpt:events, approximately."""

    # -- polling and deadlines --------------------------------------------------------------------------------
    job_poll_interval_s: Seconds = 5
    """Seconds between two polls of a generation; with a learned schedule, the average that it may spend."""
    model_poll_interval_s: Seconds = 300
    """The same for a model in training, seconds."""
    schedule: Literal["learned", "fixed"] = "learned"
    """learned: polls follow from how long earlier generations took; fixed: poll every interval."""
    job_poll_floor_s: Seconds = 1
    """Learned schedule: minimum time between two polls of a generation, seconds."""
    job_poll_ceiling_s: Seconds = 15
    """Learned schedule: maximum time between two polls of a generation, seconds."""
    model_poll_floor_s: Seconds = 60
    """Learned schedule: minimum time between two polls of a model in training, seconds."""
    model_poll_ceiling_s: Seconds = 900
    """Learned schedule: maximum time between two polls of a model in training, seconds."""
    list_polling: bool = True
    """Read pages of GET /jobs where that takes fewer requests than polling each generation."""
    poll_budget: float = Field(default=0.88, gt=0, le=20, allow_inf_nan=False)
    """Pages of the list to read at most, as a share of the requests that polling each job at the interval takes."""
    job_deadline_s: Seconds = 3600
    """Seconds from its start until a job expires, if the producer gives no deadline_s."""
    model_deadline_s: Seconds = 2100
    """The same for a training, seconds (2100 is 35 minutes)."""
    not_found_grace_s: Seconds = 60
    """Seconds after the trigger during which a 404 for the generation is ignored."""
    uncertain_policy: Literal["reconcile", "fail", "retry"] = "reconcile"
    """After a trigger without an answer. reconcile: search GET /jobs; fail: end the job; retry: trigger again."""
    uncertain_settle_s: Seconds = 30
    """reconcile: seconds to wait before GET /jobs is searched; at twice this time an empty list is accepted."""
    clock_skew_s: Seconds = 60
    """Expected difference of PhotoGPT's and Redis' clock, seconds; a larger one is read from PhotoGPT's Date header."""

    # -- limits over all workers ------------------------------------------------------------------------------
    max_active: int = Field(default=0, ge=0)
    """Maximum number of generations in progress at once; 0: no limit but the one learned from PhotoGPT's 429."""
    max_requests_per_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Maximum number of triggers and polls per second; 0: no limit."""

    # -- webhooks ---------------------------------------------------------------------------------------------
    webhook_url: HttpUrl | None = None
    """Receiver for jobs that name no webhook_url of their own."""
    webhook_secrets: SigningKeys = ()
    """Keys of which each signs every webhook: whsec_... (shared), whsk_... (ed25519); see `webhooks keys --new`."""
    webhook_body: Literal["full", "thin"] = "full"
    """full: the whole outcome; thin: without images, videos and files."""
    webhook_max_bytes: int = Field(default=20_000, ge=1000)
    """Maximum size of a body, bytes; a larger one is sent without images, videos and files, marked truncated."""
    webhook_outcome_url: OutcomeUrl | None = None
    """Where a receiver can read the whole outcome if the body lacks it, such as https://api.example.com/jobs/{id}."""
    webhook_schemes: Schemes = ("https", "http")
    """URL schemes that receivers may have, comma-separated."""
    webhook_ports: Ports = (80, 443)
    """Ports that receivers may have, comma-separated; inside webhook_allow_networks every port is allowed."""
    webhook_allow_networks: Networks = ()
    """Private networks that receivers may be in, as CIDRs, comma-separated. Other private addresses are refused."""
    webhook_proxy_url: ProxyUrl | None = None
    """HTTP proxy for webhooks. The proxy resolves host names, so the proxy must refuse private addresses."""
    webhook_connect_timeout_s: Seconds = 5
    """Maximum time to open a connection to a receiver, seconds."""
    webhook_read_timeout_s: Seconds = 10
    """Maximum silence within one answer of a receiver, seconds."""
    webhook_deadline_s: Seconds = 15
    """Maximum time for one whole attempt, seconds."""
    webhook_max_idle_s: Seconds = 4
    """Seconds after which an idle connection to a receiver is not used again. A retry always opens a new one."""
    webhook_ca_file: CertificateFile | None = None
    """PEM file with certificate authorities to trust for receivers, in addition to those of the system."""
    webhook_max_in_flight: int = Field(default=16, ge=1, le=1000)
    """Maximum number of attempts in flight to one endpoint, over all workers."""
    webhook_max_per_s: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Maximum number of attempts per second to one endpoint, over all workers; 0: no limit."""
    webhook_disable_after_s: Seconds = 5 * 86_400
    """Disable an endpoint if it had no success for this long when a webhook is given up, seconds (432000: 5 days)."""
    webhook_history_max: int = Field(default=100_000, ge=100)
    """Ended webhooks that are kept for reading and resending; the oldest are deleted first."""
    metadata_max_bytes: int = Field(default=4096, ge=0)
    """Maximum size of a job's metadata, bytes of JSON."""

    # -- outputs ----------------------------------------------------------------------------------------------
    outputs: OutputsUrl | None = None
    """Where images and videos are stored: s3://bucket/prefix, gs://..., az://... or file:///folder. Default: none."""
    outputs_key: OutputKey = "{tenant}/{date}/{id}/{n}{ext}"
    """Key of each file, made of {tenant}, {date} of the end (UTC), {id} of the job, {kind}, number {n} and {ext}."""
    outputs_when: Literal["after", "before"] = "after"
    """after: a job ends at once, and its event job.stored follows; before: it ends when its files are stored."""
    outputs_deadline_s: Seconds = 3600
    """Seconds after which a file that could not be stored is given up; the job succeeds in any case."""
    outputs_stall_s: Seconds = 30
    """Break a download off that brings less than 64 kB in this time, seconds."""
    outputs_max_bytes: int = Field(default=2_000_000_000, ge=1000)
    """Maximum size of one file, bytes."""
    outputs_allow_networks: Networks = ()
    """Private networks that files may be downloaded from, as CIDRs, comma-separated. The API's own host is allowed."""

    # -- the worker process -----------------------------------------------------------------------------------
    concurrency: int = Field(default=16, ge=8, le=500)
    """Celery threads of one worker process."""
    call_concurrency: int = Field(default=32, ge=1, le=1000)
    """HTTP calls in flight at once, for each lane and worker process."""
    one_cpu: bool = True
    """Keep the threads of a process on one CPU at a time, which saves a third of its CPU; where Linux allows it."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level that is logged."""
    log_format: Literal["text", "json"] = "text"
    """text: one line per event; json: one JSON object per line."""
    hide_prompts: bool = False
    """Show only the length of a prompt in Flower and logs."""
    http_address: HttpAddress | None = None
    """Where a worker serves /metrics, /live, /ready and /startup, and the exporter /metrics, such as 0.0.0.0:9464."""
    otlp_endpoint: HttpUrl | None = None
    """Collector of traces, OTLP over HTTP, such as http://collector:4318. Needs the extra `otel`. Default: none."""
    data_dir: Path = Path(".photogpt")
    """Folder in which `photogpt-worker up` keeps the embedded Valkey's data and the logs."""

    # -- Flower -----------------------------------------------------------------------------------------------
    flower_address: str = "127.0.0.1"
    """Address that Flower listens on."""
    flower_port: int = Field(default=5555, ge=1, le=65535)
    """Port that Flower listens on."""
    flower_url_prefix: UrlPath | None = None
    """Path under which a proxy shows Flower, such as /ops/flower. The proxy passes paths on as they are."""
    flower_user: str = "photogpt"
    """User name of Flower's login."""
    flower_password: SecretStr | None = None
    """Password of Flower's login; `photogpt-worker up` makes one and prints it if none is set."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        consistency.check(self)
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
    def has_default_namespace(self) -> bool:
        """Whether producers need no settings of their own."""
        return self.namespace == DEFAULT_NAMESPACE

    @property
    def producer_queue(self) -> str:
        """Name of the queue that producers send to."""
        return self.queue or ("celery" if self.has_default_namespace else f"{self.namespace}.celery")

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """Connection options for the Sentinels; short timeouts, so that a dead one does not delay the next."""
        password = {"password": self.sentinel_password.get_secret_value()} if self.sentinel_password else {}
        return {"socket_timeout": 2, "socket_connect_timeout": 1, **password}

    @property
    def max_countdown_s(self) -> float:
        """Maximum countdown of a message, seconds: below the visibility timeout, so that none is delivered twice."""
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
        """Return the sources in order of precedence: arguments, environment, `…_FILE`, `.env`, `…_FILE` in `.env`."""
        del env_settings, file_secret_settings
        return init_settings, *environment.with_secret_files(settings_cls, dotenv_settings, SECRET_FIELDS)


URLS_WITH_PASSWORDS = ("redis_url", "broker_url", "api_proxy_url", "webhook_proxy_url")
SECRET_FIELDS = frozenset({"api_key", "sentinel_password", "webhook_secrets", "flower_password", *URLS_WITH_PASSWORDS})


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment.

    Args:
        overrides: values by field name; they take precedence over the environment.

    Raises:
        SettingsError: a value or the file `.env` cannot be used; the message names every wrong variable.
    """
    environment.check_dotenv()
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(environment.explain(error)) from None
