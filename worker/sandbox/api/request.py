"""One request to PhotoGPT's API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.sandbox.api.answers import Refusal
from worker.sandbox.faults.actions import NO_FAULT, Action
from worker.sandbox.media.urls import NO_MEDIA, MediaUrls
from worker.sandbox.state.records import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to the API, routed but not yet checked."""

    operation: str
    id: str
    """The id in the path, or an empty text."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now: float
    media: MediaUrls = NO_MEDIA
    """Makes the URLs of outputs in its answer."""
    part: str = ""
    """The name of a segment, in requests for one."""
    head_only: bool = False
    """Whether it is a HEAD request, which files answer like GET."""
    action: Action = field(default=NO_FAULT)
    """The fault that applies to it."""

    def json(self) -> JsonObject:
        """Return the body as a JSON object; refuse anything else with 400."""
        try:
            body = json.loads(self.body)
        except ValueError as error:
            raise Refusal(400, "The body is not valid JSON.", str(error)) from None
        if not isinstance(body, dict):
            raise Refusal(400, "The body is not a JSON object.")
        return body
