"""Submissions: which arguments are accepted, and how an invalid one is named."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from tests.unit.factories import REQUESTS, nested
from worker.domain.errors import SubmissionError
from worker.domain.job import Kind
from worker.domain.submission import (
    EVENT_TYPES,
    MAX_DEADLINE_S,
    MAX_KEY,
    MAX_REQUEST,
    Submission,
    SubmissionLimits,
    check_webhook_url,
    parse_submission,
)

LIMITS = SubmissionLimits(metadata_max_bytes=4096)
IMAGE = REQUESTS[Kind.IMAGE]
NAN, INFINITE = float("nan"), float("inf")
SURROGATE = "half a pair: \ud83d"
"""What JSON's "\\ud83d" becomes: text that UTF-8 cannot write."""


def parsed(kind: Kind = Kind.IMAGE, *args: Any, **kwargs: Any) -> Submission:
    """Parse arguments as the task does."""
    return parse_submission(kind, list(args), kwargs, LIMITS)


def outcome(kind: Kind, **fields: Any) -> dict[str, Any]:
    """Return the outcome of the task before in a chain."""
    return {"kind": kind.value, "state": "succeeded", "images": [], "model_id": None, **fields}


@pytest.mark.parametrize("kind", Kind)
def test_the_minimal_request_of_each_kind_is_accepted(kind: Kind) -> None:
    """A request with only the required fields is accepted for every kind."""
    assert parsed(kind, request=REQUESTS[kind]).request == REQUESTS[kind]


def test_every_argument_is_kept() -> None:
    """Every argument of a producer appears unchanged in the submission."""
    arguments: dict[str, Any] = {
        "request": IMAGE,
        "webhook_url": "https://shop.example/hooks",
        "webhook_events": ["job.running", "job.succeeded"],
        "metadata": {"order": 7, "lines": [1, {"a": None}]},
        "deadline_s": 90.5,
        "not_before": "2027-01-15T08:00:00Z",
        "delay_s": 30,
        "idempotency_key": "order-7",
        "tenant": "shop-7",
    }
    assert arguments.keys() == Submission.model_fields.keys()
    assert parsed(**arguments).model_dump(exclude_unset=True) == arguments


BAD_ARGUMENTS: list[tuple[str, dict[str, Any], str]] = [
    ("no request", {}, "request"),
    ("request is None", {"request": None}, "request"),
    ("request is a list", {"request": [IMAGE]}, "request"),
    ("request is text", {"request": "a quiet harbour"}, "request"),
    ("no model", {"request": {"prompt": "x"}}, "request.modelID"),
    ("empty model", {"request": {"modelID": "", "prompt": "x"}}, "request.modelID"),
    ("model is a number", {"request": {"modelID": 7, "prompt": "x"}}, "request.modelID"),
    ("model is a list", {"request": {"modelID": ["nanobanana"], "prompt": "x"}}, "request.modelID"),
    ("model is an object", {"request": {"modelID": {}, "prompt": "x"}}, "request.modelID"),
    ("no prompt", {"request": {"modelID": "nanobanana"}}, "request.prompt"),
    ("empty prompt", {"request": {"modelID": "nanobanana", "prompt": ""}}, "request.prompt"),
    ("count as text", {"request": IMAGE | {"numImages": "2"}}, "request.numImages"),
    ("count as a boolean", {"request": IMAGE | {"numImages": True}}, "request.numImages"),
    ("count of zero", {"request": IMAGE | {"numImages": 0}}, "request.numImages"),
    ("references as text", {"request": IMAGE | {"referenceImageURLs": "u"}}, "request.referenceImageURLs"),
    ("a reference as a number", {"request": IMAGE | {"referenceImageURLs": ["u", 1]}}, "request.referenceImageURLs.1"),
    ("too many references", {"request": IMAGE | {"referenceImageURLs": ["u"] * 4}}, "request.referenceImageURLs"),
    ("options as a list", {"request": IMAGE | {"options": []}}, "request.options"),
    ("not a number", {"request": IMAGE | {"strength": NAN}}, "request.strength"),
    ("infinite", {"request": IMAGE | {"nested": [{"deep": INFINITE}]}}, "request.nested.0.deep"),
    ("half a surrogate pair", {"request": IMAGE | {"style": SURROGATE}}, "request.style"),
    ("too long", {"request": IMAGE | {"more": "x" * MAX_REQUEST}}, "request"),
    ("unknown argument", {"request": IMAGE, "prompt": "a harbour"}, "prompt"),
    ("URL without a scheme", {"request": IMAGE, "webhook_url": "shop.example/hooks"}, "webhook_url"),
    ("URL as a number", {"request": IMAGE, "webhook_url": 5}, "webhook_url"),
    ("unknown event", {"request": IMAGE, "webhook_events": ["job.done"]}, "webhook_events"),
    ("events as text", {"request": IMAGE, "webhook_events": "job.failed"}, "webhook_events"),
    ("metadata as a list", {"request": IMAGE, "metadata": []}, "metadata"),
    ("metadata too long", {"request": IMAGE, "metadata": {"a": "x" * 4096}}, "metadata"),
    ("metadata too long in UTF-8 only", {"request": IMAGE, "metadata": {"a": "\N{SNOWMAN}" * 2000}}, "metadata"),
    ("metadata with not a number", {"request": IMAGE, "metadata": {"a": NAN}}, "metadata.a"),
    ("metadata with half a surrogate pair", {"request": IMAGE, "metadata": {"a": SURROGATE}}, "metadata.a"),
    ("deadline of zero", {"request": IMAGE, "deadline_s": 0}, "deadline_s"),
    ("deadline in the past", {"request": IMAGE, "deadline_s": -1}, "deadline_s"),
    ("deadline beyond a week", {"request": IMAGE, "deadline_s": MAX_DEADLINE_S + 1}, "deadline_s"),
    ("deadline as text", {"request": IMAGE, "deadline_s": "60"}, "deadline_s"),
    ("deadline as a boolean", {"request": IMAGE, "deadline_s": True}, "deadline_s"),
    ("deadline not a number", {"request": IMAGE, "deadline_s": NAN}, "deadline_s"),
    ("deadline infinite", {"request": IMAGE, "deadline_s": INFINITE}, "deadline_s"),
    ("empty key", {"request": IMAGE, "idempotency_key": ""}, "idempotency_key"),
    ("key too long", {"request": IMAGE, "idempotency_key": "k" * (MAX_KEY + 1)}, "idempotency_key"),
    ("key as a number", {"request": IMAGE, "idempotency_key": 7}, "idempotency_key"),
]


@pytest.mark.parametrize(("kwargs", "field"), [case[1:] for case in BAD_ARGUMENTS], ids=[c[0] for c in BAD_ARGUMENTS])
def test_a_bad_argument_is_named(kwargs: dict[str, Any], field: str) -> None:
    """An invalid argument raises an error that starts with the argument's dotted name."""
    with pytest.raises(SubmissionError) as raised:
        parsed(**kwargs)
    assert raised.value.field == field
    assert str(raised.value).startswith(f"{field}: ")


def test_the_error_of_an_unknown_argument_lists_the_known_ones() -> None:
    """An argument that no task takes is refused with the names of those it takes; other errors do not list them."""
    with pytest.raises(SubmissionError, match=r"is not an argument of this task; known arguments are request, "):
        parsed(request=IMAGE, prompt="a harbour")
    with pytest.raises(SubmissionError, match=r"^deadline_s: (?!.*known arguments)"):
        parsed(request=IMAGE, deadline_s=0)


@pytest.mark.parametrize("name", ["request", "metadata"])
def test_an_argument_that_is_too_deep_is_named(name: str) -> None:
    """An argument that is nested too deeply for Python's JSON encoder is refused by name."""
    with pytest.raises(SubmissionError) as raised:
        parse_submission(Kind.IMAGE, [], {"request": IMAGE, name: IMAGE | {"more": nested(5000)}}, LIMITS)
    assert raised.value.field == name


@pytest.mark.parametrize(
    ("kind", "request_", "field"),
    [
        (Kind.UPSCALE, {}, "request.imageID"),
        (Kind.UPSCALE, {"imageID": 3}, "request.imageID"),
        (Kind.VIDEO, {"modelID": "veo-3.1"}, "request.prompt"),
        (Kind.VIDEO, {"modelID": "veo-3.1", "prompt": "x", "options": {"kling": 3}}, "request.options.kling"),
        (Kind.VIDEO, {"modelID": "veo-3.1", "prompt": "x", "elementIDs": [1]}, "request.elementIDs.0"),
        (Kind.VIDEO, {"modelID": "veo-3.1", "prompt": "x", "referenceImages": ["u"]}, "request.referenceImages.0"),
        (Kind.TRAINING, {}, "request.modelID"),
        (Kind.TRAINING, {"modelID": None}, "request.modelID"),
    ],
)
def test_each_kind_names_its_own_fields(kind: Kind, request_: dict[str, Any], field: str) -> None:
    """An invalid field of a request is named as request.field for every kind."""
    with pytest.raises(SubmissionError) as raised:
        parsed(kind, request=request_)
    assert raised.value.field == field


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("value", [None, 5, 0.5, True, "text", [], ["x"], {}, {"a": 1}])
@pytest.mark.parametrize("name", ["modelID", "imageID", "prompt", "referenceImageURLs", "options", "numImages"])
def test_any_value_in_any_field_is_taken_or_named(kind: Kind, name: str, value: Any) -> None:
    """Any JSON value in any field of a request is either accepted or refused by name."""
    request = REQUESTS[kind] | {name: value}
    try:
        assert parsed(kind, request=request).request == request
    except SubmissionError as error:
        named = error.field
    else:
        named = f"request.{name}"
    assert named.startswith(f"request.{name}")


def test_more_positional_arguments_than_a_chain_hands_on_are_refused() -> None:
    """Two positional arguments are refused with a message that asks for keyword arguments."""
    with pytest.raises(SubmissionError, match=r"keyword arguments only") as raised:
        parsed(Kind.IMAGE, {}, "https://shop.example")
    assert raised.value.field == ""


# -- piping ---------------------------------------------------------------------------------------------------------


def test_a_training_hands_on_its_model() -> None:
    """A request after a training in a chain gets the trained model as modelID."""
    piped = parsed(Kind.IMAGE, outcome(Kind.TRAINING, model_id="model_9"), request={"prompt": "x"})
    assert piped.request == {"prompt": "x", "modelID": "model_9"}


def test_an_image_hands_on_its_first_output() -> None:
    """An upscale after an image in a chain gets the first image, and needs no request of its own."""
    images = [{"id": "image-1"}, {"id": "image-2"}]
    assert parsed(Kind.UPSCALE, outcome(Kind.IMAGE, images=images)).request == {"imageID": "image-1"}


def test_a_chord_hands_on_the_first_outcome_that_fits() -> None:
    """The body of a chord gets the image of the first outcome in the list that has one."""
    before = ["noise", outcome(Kind.IMAGE), outcome(Kind.IMAGE, images=[{"id": "image-7"}]), None]
    assert parsed(Kind.UPSCALE, before).request == {"imageID": "image-7"}


def test_what_the_request_says_stands() -> None:
    """A field that the request sets is not overwritten by the task before in a chain."""
    before = outcome(Kind.TRAINING, model_id="other")
    assert parsed(Kind.IMAGE, before, request=IMAGE).request == IMAGE


@pytest.mark.parametrize("before", ["text", 5, None, [], {}, {"kind": "training"}, [["nested"]]])
def test_what_is_no_outcome_fills_nothing(before: Any) -> None:
    """A result of another task that is no outcome changes nothing in the request."""
    assert parsed(Kind.IMAGE, before, request=IMAGE).request == IMAGE
    with pytest.raises(SubmissionError) as raised:
        parsed(Kind.UPSCALE, before)
    assert raised.value.field == "request"


@pytest.mark.parametrize("images", ["text", ["text"], [None], [{}], [{"id": 5}], {"a": 1}, 7])
def test_outputs_that_cannot_be_read_are_named(images: Any) -> None:
    """An outcome with malformed images leads to an error about the missing imageID."""
    with pytest.raises(SubmissionError, match=r"imageID"):
        parsed(Kind.UPSCALE, outcome(Kind.IMAGE, images=images))


def test_piping_leaves_the_arguments_as_they_were() -> None:
    """Filling a request from the task before does not modify the arguments of the message."""
    request = {"prompt": "x"}
    parsed(Kind.IMAGE, outcome(Kind.TRAINING, model_id="model_9"), request=request)
    assert request == {"prompt": "x"}


# -- sizes and URLs -------------------------------------------------------------------------------------------------


def test_metadata_may_fill_its_limit_to_the_byte() -> None:
    """Metadata may have exactly as many bytes of JSON as the limit allows, and not one more."""
    fits = {"a": "x" * (LIMITS.metadata_max_bytes - len('{"a":""}'))}
    assert parsed(request=IMAGE, metadata=fits).metadata == fits
    with pytest.raises(SubmissionError, match=r"4097 bytes of JSON, 4096 are allowed"):
        parsed(request=IMAGE, metadata={"a": fits["a"] + "x"})


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hooks?order=7",
        "http://shop.example:8080/",
        "https://[2606:4700:4700::1111]/x",
        "https://xn--bcher-kva.example",
        "https://shop.example/" + "a" * 2027,
    ],
)
def test_usable_urls_pass(url: str) -> None:
    """A valid webhook URL is accepted without resolving its host."""
    check_webhook_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example",
        "//shop.example",
        "ftp://shop.example",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://:443/",
        "https://user@shop.example",
        "https://user:secret@shop.example",
        "https://@shop.example",
        "https://shop.example:99999/",
        "https://shop.example:port/",
        "https://[::1",
        "https://shop.example/" + "a" * 2028,
        "https://shop.example/\ud83d",
        "https://shop.example/\nX-Injected: 1",
        "https://shop example/",
    ],
)
def test_urls_that_can_never_work_are_refused(url: str) -> None:
    """A webhook URL that no attempt could ever reach is refused at once."""
    with pytest.raises(ValueError, match=r"."):
        check_webhook_url(url)


INSIDE = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
TARGETS: list[tuple[str, dict[str, Any], bool]] = [
    ("https://shop.example/", {}, True),
    ("http://shop.example/", {}, True),
    ("http://shop.example/", {"webhook_schemes": ("https",)}, False),
    ("https://shop.example:443/", {}, True),
    ("http://shop.example:443/", {}, True),
    ("https://shop.example:8443/", {}, False),
    ("https://shop.example:8443/", {"webhook_ports": (443, 8443)}, True),
    ("https://shop.example/", {"webhook_ports": (8443,)}, False),
    ("http://10.0.0.1:9000/", {}, False),
    ("http://10.0.0.1:9000/", {"webhook_allow_networks": INSIDE}, True),
    ("http://[::1]:9000/", {"webhook_allow_networks": INSIDE}, True),
    ("http://11.0.0.1:9000/", {"webhook_allow_networks": INSIDE}, False),
    ("http://inside.example:9000/", {"webhook_allow_networks": INSIDE}, True),
]


@pytest.mark.parametrize(("url", "options", "passes"), TARGETS)
def test_ports_and_schemes_are_those_of_the_settings(url: str, options: dict[str, Any], *, passes: bool) -> None:
    """Webhook URLs need an allowed scheme and port, except that every port is allowed inside allowed networks."""
    usual: dict[str, Any] = {"metadata_max_bytes": 0, "webhook_ports": (80, 443)}
    limits = SubmissionLimits(**usual | options)
    if passes:
        assert parse_submission(Kind.IMAGE, [], {"request": IMAGE, "webhook_url": url}, limits).webhook_url == url
    else:
        with pytest.raises(SubmissionError, match=r"webhook_url: .*webhooks go to") as raised:
            parse_submission(Kind.IMAGE, [], {"request": IMAGE, "webhook_url": url}, limits)
        assert raised.value.field == "webhook_url"


def test_secrets_in_a_url_are_not_repeated() -> None:
    """The error about a URL with a password does not contain the password."""
    with pytest.raises(SubmissionError) as raised:
        parsed(request=IMAGE, webhook_url="https://user:hunter2@shop.example/")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_every_event_can_be_asked_for(name: str) -> None:
    """Every event type of jobs and models is accepted in webhook_events."""
    assert parsed(request=IMAGE, webhook_events=[name]).webhook_events == [name]


# -- the digest -----------------------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_body() -> None:
    """Two submissions with the same request have the same digest, whatever their other arguments are."""
    first = Submission(request={"modelID": "m", "prompt": "x"})
    turned = Submission(request={"prompt": "x", "modelID": "m"}, metadata={"try": 2}, webhook_url="https://a.example")
    assert first.digest == turned.digest
    assert len(first.digest) == 32


@pytest.mark.parametrize(
    "other",
    [
        {"modelID": "m", "prompt": "y"},
        {"modelID": "m"},
        {"modelID": "m", "prompt": "x", "n": 1},
        {"modelID": "m", "prompt": "x", "n": None},
        {"modelID": "m", "prompt": ["x"]},
    ],
)
def test_another_body_has_another_digest(other: dict[str, Any]) -> None:
    """Two submissions with different requests have different digests."""
    assert Submission(request={"modelID": "m", "prompt": "x"}).digest != Submission(request=other).digest
