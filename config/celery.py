"""Celery's options, derived from the settings.

Producers need none of them: `send_task` puts a message into Celery's default queue, which the workers consume.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

from kombu import Exchange, Queue

from config.settings import Settings

QUEUES = ("enqueued", "triggers", "polls", "results", "webhooks", "files")
"""The short names of the queues: that of producers, and those of the tick messages."""

HEARTBEAT_S = 3.0
"""Seconds between two heartbeats of a worker in Celery's events. The rounds of its lane monitor begin with them."""

TICK_QUEUES = {
    "photogpt.trigger": "triggers",
    "photogpt.poll": "polls",
    "photogpt.publish": "results",
    "photogpt.deliver": "webhooks",
    "photogpt.store_files": "files",
}
"""The queue of each tick task. Tasks that producers send stay in the queue they are sent to."""


def queue_names(settings: Settings) -> dict[str, str]:
    """Return the queues' names in the broker, by their short names."""
    ticks = {name: f"{settings.namespace}.{name}" for name in QUEUES[1:]}
    return {"enqueued": settings.producer_queue, **ticks}


def celery_options(settings: Settings) -> dict[str, Any]:
    """Return the options of the app."""
    return {
        "broker_url": settings.queue_url,
        "result_backend": settings.store_url,
        "result_expires": settings.retention_s,
        "task_serializer": "json",
        "result_serializer": "json",
        # a lost connection is opened again at once; in a longer outage the results lane retries, not a thread
        "result_backend_always_retry": True,
        "result_backend_max_retries": 2,
        "result_backend_base_sleep_between_retries_ms": 50,
        "accept_content": ["json"],
        **_names(settings),
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1},
        "worker_pool": "worker.queue.pool:ThreadPool",  # a worker mostly waits for Redis and HTTP
        "worker_concurrency": settings.concurrency,
        "worker_prefetch_multiplier": 2,
        "worker_consumer": "worker.queue.consumer:ResilientConsumer",
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": True,  # for Flower
        "worker_send_task_events": True,  # for Flower; tick tasks send none
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # threads cannot be killed
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # retry until the outage ends
        "broker_channel_error_retry": True,  # a Redis that refuses writes (READONLY, OOM) is an outage too
        "broker_heartbeat": 15,  # RabbitMQ: detects a silent connection; Redis has its health check
        "broker_use_ssl": _tls(settings, settings.queue_url),
        "redis_backend_use_ssl": _tls(settings, settings.store_url),
        "broker_pool_limit": settings.concurrency,
        "broker_transport_options": _transport(settings),
        "redis_socket_timeout": 10,
        "redis_socket_connect_timeout": 3,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": 15,
        "result_backend_transport_options": {
            "retry_policy": {"timeout": 5.0},
            **({} if settings.has_default_namespace else {"global_keyprefix": f"{settings.namespace}:"}),
            **_sentinel(settings, settings.store_url),
        },
    }


def _names(settings: Settings) -> dict[str, Any]:
    """Return the names of queues and exchanges. Those of the default namespace are Celery's own."""
    queues = queue_names(settings)
    exchange = "celery" if settings.has_default_namespace else settings.namespace
    events = "celeryev" if settings.has_default_namespace else f"{settings.namespace}.celeryev"
    return {
        # a routing key each: with one key for all, every queue would get every message
        "task_queues": [Queue(name, Exchange(exchange), routing_key=name) for name in queues.values()],
        "task_default_queue": settings.producer_queue,
        "task_default_exchange": exchange,
        "task_routes": {task: {"queue": queues[name]} for task, name in TICK_QUEUES.items()},
        "control_exchange": exchange,
        "event_exchange": events,
        "event_queue_prefix": events,
    }


def _tls(settings: Settings, url: str) -> dict[str, Any] | None:
    if urlsplit(url).scheme != "rediss":
        return None
    trusted = {"ssl_ca_certs": str(settings.redis_ca_file)} if settings.redis_ca_file else {}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **trusted}  # Celery requires the first


def _sentinel(settings: Settings, url: str) -> dict[str, Any]:
    if urlsplit(url).scheme != "sentinel":
        return {}
    return {"master_name": settings.sentinel_master, "sentinel_kwargs": settings.sentinel_options}


def _transport(settings: Settings) -> dict[str, Any]:
    if urlsplit(settings.queue_url).scheme not in {"redis", "rediss", "sentinel"}:
        return {}
    return {
        **_sentinel(settings, settings.queue_url),
        # keys of our own: a visibility timeout counts for every message under the same keys, whichever app sent it
        "unacked_key": f"{settings.namespace}.unacked",
        "unacked_index_key": f"{settings.namespace}.unacked_index",
        "unacked_mutex_key": f"{settings.namespace}.unacked_mutex",
        "sep": settings.queue_separator,
        "priority_steps": list(settings.priority_steps),
        # No message waits in a worker for longer than a fraction of this, so it can be short: the messages of a killed
        # worker come again after it. Of several processes on one database the smallest value counts.
        "visibility_timeout": settings.visibility_timeout_s,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,  # without it, publishing over a dead connection hangs
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "client_name": "photogpt-worker",
    }
