"""The AsyncAPI document: the streams that producers write and read, and the webhooks that receivers get."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from worker import __version__
from worker.cli.jobs.schemas import JOB_ENTRIES, Batch, CancelJob, Event, Outcome, Webhook, choose_by_model
from worker.domain.inbox_entry import FIELD
from worker.store.keys import Keys

REF = "#/components/schemas/{model}"
JSON = "application/json"

DESCRIPTION = """\
Producers append jobs to a Redis stream, and read what becomes of them from others. Receivers get signed webhooks.
An entry of a stream is a list of names and texts. Keys are those of the namespace `photogpt` (PHOTOGPT_NAMESPACE).
The braces around an id belong to a key."""

KEYS = {
    "job": "The job's id in braces, such as `{3f1c…}`.",
    "batch": "The id of the batch in braces.",
}
"""The parameters of addresses."""


def asyncapi() -> dict[str, Any]:
    """Return the document, in version 3.0.0 of AsyncAPI."""
    models = [(model, "validation") for model in (*JOB_ENTRIES, CancelJob, Event, Outcome, Batch, Webhook)]
    _, made = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]
    choose_by_model(made)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "photogpt-worker", "version": __version__, "description": DESCRIPTION},
        "defaultContentType": JSON,
        "servers": {
            "redis": {"host": "{host}", "protocol": "redis", "variables": {"host": {"default": "localhost:6379"}}}
        },
        "channels": _channels(),
        "operations": _operations(),
        "components": {"schemas": made["$defs"], "messages": _messages()},
    }


def _channels() -> dict[str, Any]:
    keys = Keys()  # their braces mark parameters here
    return {
        "inbox": _stream(keys.inbox, "Jobs that no worker has accepted yet.", "newJob", "cancelJob"),
        "jobEvents": _stream(keys.events("job"), "The events of one job.", "jobEvent"),
        "batchEvents": _stream(keys.batch_events("batch"), "The end of a batch.", "batchFinished"),
        "webhooks": {
            "address": None,
            "description": "The `webhook_url` of a job: Standard Webhooks, by HTTP POST.",
            "messages": _refs("webhook"),
        },
    }


def _stream(address: str, description: str, *messages: str) -> dict[str, Any]:
    """Return a channel that is a stream of Redis."""
    found = {name: {"description": text} for name, text in KEYS.items() if f"{{{name}}}" in address}
    parameters = {"parameters": found} if found else {}
    channel = {"address": address, "description": description, "servers": [{"$ref": "#/servers/redis"}]}
    return channel | parameters | {"messages": _refs(*messages)}


def _refs(*messages: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in messages}


def _operations() -> dict[str, Any]:
    """Return what the service does with each channel."""
    return {
        "takeOver": _operation(
            "receive", "inbox", "A worker takes over an entry, stores its job and deletes the entry."
        ),
        "reportJob": _operation("send", "jobEvents", "Each state that a job enters is one event."),
        "reportBatch": _operation("send", "batchEvents", "When every job of a batch has ended."),
        "deliver": _operation("send", "webhooks", "Each event that the job asks for, until the receiver answers 2xx."),
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _messages() -> dict[str, Any]:
    entries = [REF.format(model=model.__name__) for model in JOB_ENTRIES]
    in_field = f"The entry has one field, `{FIELD}`, which holds this as JSON."
    return {
        "newJob": {"summary": in_field, "payload": {"anyOf": [{"$ref": ref} for ref in entries]}},
        "cancelJob": _message(CancelJob, in_field),
        "jobEvent": _message(Event, "The fields of the entry. `data` is an `Outcome` as JSON."),
        "batchFinished": {
            "summary": "The fields of the entry. `data` is a `Batch` as JSON.",
            "payload": {
                "type": "object",
                "required": ["type", "timestamp", "data"],
                "properties": {
                    "type": {"const": "batch.finished"},
                    "timestamp": {"type": "string"},
                    "data": {"type": "string", "contentMediaType": JSON},
                },
            },
        },
        "webhook": _message(Webhook, "The body of the POST."),
    }


def _message(model: type[Any], summary: str) -> dict[str, Any]:
    return {"summary": summary, "payload": {"$ref": REF.format(model=model.__name__)}}
