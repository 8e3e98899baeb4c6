"""The control API, for tests and benchmarks. It needs no key: the sandbox listens on loopback.

| request | body | answer |
| --- | --- | --- |
| GET /_sandbox/state | | all counts, and by default the lists; `?lists=0` leaves them out |
| GET /_sandbox/generations | | oldest first; by `?kind=`, `?status=`, `?model=`, `?contains=` (body) |
| POST /_sandbox/generations | `count`, and `kind`, `duration`, `request` | the ids of that many new generations |
| GET /_sandbox/ends | | of all ended generations, `jobId`, `endedAt` (epoch), `noticedAfterS`, `listedAfterS` |
| GET /_sandbox/faults | | the rules in force, each with how often it matched and fired |
| POST /_sandbox/faults | a rule, or a list of rules (see `faults/rules.py`) | the rules in force |
| DELETE /_sandbox/faults | | an empty list |
| POST /_sandbox/models | `{"id": …, "status": …, "images": n}` and the fields of a directive | the model |
| POST /_sandbox/keys | `{"add": […], "revoke": […]}` | the keys |
| POST /_sandbox/options | options by name (see `options.py`); `durations` is `{kind: distribution}` | the options |
| POST /_sandbox/reset | | nothing; all records are deleted, in the journal too |

`noticedAfterS` is the time from a generation's end to the first GET /jobs/{id} that showed it (for a training, GET
/models/{id}); `listedAfterS`, to the first page of GET /jobs that showed it. A model's directive applies to all its
trainings until it is set again. Setting `status` ends a running training.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from worker.sandbox.api import views
from worker.sandbox.api.answers import Answer, nok, ok, rfc3339
from worker.sandbox.api.triggers import make_generations
from worker.sandbox.faults.directives import Directive, parse_directive
from worker.sandbox.faults.durations import parse_distribution
from worker.sandbox.faults.rules import parse_rules
from worker.sandbox.sandbox import Sandbox
from worker.sandbox.state.records import Generation, JsonObject, Model, Upload, ended_at, job_stage_at, new_id

PREFIX = "/_sandbox/"

CHANGEABLE = frozenset(
    {
        "page_size",
        "rate_limit",
        "retry_after",
        "max_active",
        "max_trainings",
        "strict_images",
        "strict_training_images",
        "training_jobs",
        "media_url",
        "media_ttl_s",
    }
)
"""Options that can be changed at run time, besides `durations`."""

Control: TypeAlias = Callable[[Sandbox, dict[str, str], Any], Any]


def answer(sandbox: Sandbox, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
    """Answer one control request; an invalid one gets 400 with the reason."""
    operation = _CONTROLS.get((method, path.removeprefix(PREFIX)))
    if operation is None:
        return nok(404, "No such control.", f"{method} {path}")
    try:
        return ok(operation(sandbox, query, json.loads(body) if body else {}))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        return nok(400, str(error), repr(error))


def _state(sandbox: Sandbox, query: dict[str, str], _body: Any) -> JsonObject:
    now = time.time()
    state = sandbox.counters.as_json()
    state["now"] = rfc3339(now)
    state["active"] = sandbox.archive.active(("image", "upscale", "video"), now)
    if query.get("lists") != "0":
        state["generations"] = [_generation(sandbox, generation, now) for generation in sandbox.archive.ordered]
        state["polls"] = dict(sandbox.counters.polls)
        state["models"] = {model.id: sandbox.archive.status_of(model, now) for model in sandbox.archive.models.values()}
    return state


def _generations(sandbox: Sandbox, query: dict[str, str], _body: Any) -> list[JsonObject]:
    now = time.time()
    filters = {"kind": query.get("kind"), "status": query.get("status"), "modelID": query.get("model")}
    return [
        shown
        for shown in (_generation(sandbox, generation, now) for generation in sandbox.archive.ordered)
        if all(value is None or shown[name] == value for name, value in filters.items())
        and query.get("contains", "") in json.dumps(shown["request"], ensure_ascii=False)
    ]


def _generation(sandbox: Sandbox, generation: Generation, now: float) -> JsonObject:
    polled_at = sandbox.counters.end_first_polled.get(generation.id)
    ended = ended_at(generation)
    return {
        "jobId": generation.id,
        "kind": generation.kind,
        "status": job_stage_at(generation, now)[1],
        "modelID": generation.model_id,
        "createdAt": rfc3339(generation.created_at),
        "endsAt": None if generation.endless else rfc3339(ended),
        "noticedAfterS": None if polled_at is None else polled_at - ended,
        "polls": sandbox.counters.polls[generation.id],
        "digest": generation.digest,
        "prompt": generation.request.get("prompt"),
        "metadata": generation.request.get("metadata"),
        "idempotencyKey": generation.idempotency_key,
        "request": generation.request,
    }


def _make_generations(sandbox: Sandbox, _query: dict[str, str], body: Any) -> list[str]:
    unknown = set(body) - {"count", "kind", "duration", "request"}
    if unknown:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    kind = str(body.get("kind", "image"))
    duration = parse_distribution(str(body["duration"])) if "duration" in body else sandbox.options.durations[kind]
    request: JsonObject = body.get("request", {"modelID": "nanobanana", "prompt": "made by the control API"})
    return make_generations(sandbox, kind, request, duration, int(body["count"]))


def _ends(sandbox: Sandbox, _query: dict[str, str], _body: Any) -> list[JsonObject]:
    now, polled, listed = time.time(), sandbox.counters.end_first_polled, sandbox.counters.end_first_listed
    ends = ((generation.id, ended_at(generation)) for generation in sandbox.archive.ordered)
    return [
        {
            "jobId": job_id,
            "endedAt": at,
            "noticedAfterS": polled[job_id] - at if job_id in polled else None,
            "listedAfterS": listed[job_id] - at if job_id in listed else None,
        }
        for job_id, at in ends
        if at <= now
    ]


def _show_faults(sandbox: Sandbox, _query: dict[str, str], _body: Any) -> list[JsonObject]:
    return sandbox.faults.as_json()


def _add_faults(sandbox: Sandbox, _query: dict[str, str], body: Any) -> list[JsonObject]:
    sandbox.faults.add(parse_rules(body))
    return sandbox.faults.as_json()


def _clear_faults(sandbox: Sandbox, _query: dict[str, str], _body: Any) -> list[JsonObject]:
    sandbox.faults.clear()
    return []


def _set_model(sandbox: Sandbox, _query: dict[str, str], body: Any) -> JsonObject:
    now = time.time()
    model_id = str(body["id"])
    old = sandbox.archive.models.get(model_id)
    model = old or Model(id=model_id, status="new", created_at=now, updated_at=now)
    directive = {name: body[name] for name in Directive.model_fields if name in body}
    parse_directive(directive)
    unknown = set(body) - set(Directive.model_fields) - {"id", "status", "images"}
    if unknown:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    model = replace(model, directive=directive or model.directive)
    if "status" in body:
        model = replace(model, status=str(body["status"]), training_id=None, updated_at=now)
    sandbox.archive.put(model)
    for _ in range(int(body.get("images", 0))):
        _add_image(sandbox, model_id, now)
    return views.model(model, sandbox.archive.training_of(model), now)


def _add_image(sandbox: Sandbox, model_id: str, now: float) -> None:
    upload = Upload(id=new_id("image"), model_id=model_id, type="modelInput", created_at=now, size=0, digest="")
    sandbox.archive.put(upload)


def _change_keys(sandbox: Sandbox, _query: dict[str, str], body: Any) -> list[str]:
    sandbox.keys.update(body.get("add", []))
    sandbox.keys.difference_update(body.get("revoke", []))
    return sorted(sandbox.keys)


def _change_options(sandbox: Sandbox, _query: dict[str, str], body: Any) -> JsonObject:
    durations = {kind: parse_distribution(str(text)) for kind, text in body.get("durations", {}).items()}
    changes = {name: value for name, value in body.items() if name != "durations"}
    unknown = (set(changes) - CHANGEABLE) | (set(durations) - set(sandbox.options.durations))
    if unknown:
        raise ValueError(f"unknown options: {', '.join(sorted(unknown))}")
    sandbox.change_options({**changes, "durations": {**sandbox.options.durations, **durations}})
    return {name: getattr(sandbox.options, name) for name in sorted(CHANGEABLE)}


def _reset(sandbox: Sandbox, _query: dict[str, str], _body: Any) -> None:
    sandbox.reset()


_CONTROLS: dict[tuple[str, str], Control] = {
    ("GET", "state"): _state,
    ("GET", "generations"): _generations,
    ("POST", "generations"): _make_generations,
    ("GET", "ends"): _ends,
    ("GET", "faults"): _show_faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "models"): _set_model,
    ("POST", "keys"): _change_keys,
    ("POST", "options"): _change_options,
    ("POST", "reset"): _reset,
}
