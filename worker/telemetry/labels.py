"""The values of the metrics' labels, as closed enumerations."""

from __future__ import annotations

from enum import StrEnum


class Operation(StrEnum):
    """A request to PhotoGPT."""

    TRIGGER = "trigger"  # start a generation or a training
    GENERATION = "generation"  # GET /jobs/{id}
    MODEL = "model"  # GET /models/{id}
    LIST = "list"  # a page of GET /jobs
    FILE = "file"  # what storing files needs: a fresh URL of an image, the download of a video
    PING = "ping"


class ApiOutcome(StrEnum):
    """How a request to PhotoGPT ended."""

    OK = "ok"
    REFUSED = "refused"  # for good: 400, 402, 404, 422 or NOK
    UNAUTHORIZED = "unauthorized"  # the API key is not accepted
    THROTTLED = "throttled"  # 429
    CONFLICT = "conflict"  # 409
    SERVER_ERROR = "server_error"  # 5xx and other unexpected codes
    INVALID_ANSWER = "invalid_answer"  # a code of success, with an answer that cannot be used
    NO_ANSWER = "no_answer"  # refused or broken connection, timeout


class FileOutcome(StrEnum):
    """How the transfer of a file from PhotoGPT to the storage ended."""

    STORED = "stored"
    DOWNLOAD_FAILED = "download_failed"
    STORAGE_FAILED = "storage_failed"
    INTERRUPTED = "interrupted"  # the worker stops, or has a fault of its own


class WebhookOutcome(StrEnum):
    """How an attempt at a webhook ended."""

    DELIVERED = "delivered"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    GONE = "gone"  # 410
    REDIRECT = "redirect"
    TIMEOUT = "timeout"
    CONNECTION_ERROR = "connection_error"
    DNS_ERROR = "dns_error"
    TLS_ERROR = "tls_error"
    PROXY_ERROR = "proxy_error"
    ADDRESS_REFUSED = "address_refused"  # the address guard or the URL itself forbids the attempt
    NOT_SENT = "not_sent"  # the endpoint is disabled, or no attempt was possible before the schedule was over
    OTHER = "other"


class WebhookEnd(StrEnum):
    """The states in which a webhook ends."""

    DELIVERED = "delivered"
    DEAD = "dead"


class EndpointState(StrEnum):
    """The health of a webhook endpoint."""

    HEALTHY = "healthy"
    FAILING = "failing"
    CIRCUIT_OPEN = "circuit_open"
    DISABLED = "disabled"


class QueueName(StrEnum):
    """The queues in the broker, by their short names: `PHOTOGPT_QUEUE` and the namespace change only the real ones."""

    ENQUEUED = "enqueued"  # producers' messages
    TRIGGERS = "triggers"
    POLLS = "polls"
    RESULTS = "results"
    WEBHOOKS = "webhooks"
    FILES = "files"


class LoopPart(StrEnum):
    """The loops of a worker process that have to go on."""

    CONSUMER = "consumer"  # takes messages from the broker
    INBOX = "inbox"  # reads the inbox
    LANE_MONITOR = "lane_monitor"  # sends missing ticks every three seconds


class PoolState(StrEnum):
    """What a thread slot of a lane does."""

    BUSY = "busy"
    FREE = "free"
