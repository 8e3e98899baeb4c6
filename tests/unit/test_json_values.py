"""Python values as JSON: what becomes text, and how any other value is refused."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import SubmissionError
from worker.domain.json_values import MAX_DEPTH, MAX_FIELD, json_value

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.complex_numbers()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(SCALARS, inner) | st.sets(SCALARS),
    max_leaves=8,
)


class Size(StrEnum):
    """An enumeration whose members are text."""

    BIG = "big"


class Count(IntEnum):
    """An enumeration whose members are integers."""

    TWO = 2


class Color(Enum):
    """An enumeration whose members are neither."""

    RED = "red"


class Naming:
    """Refuses to describe itself."""

    def __repr__(self) -> str:
        """Fail: a refused value is never shown."""
        raise AssertionError("a refused value must not be shown")


@given(VALUES)
def test_any_value_becomes_json_or_is_refused(value: Any) -> None:
    """Any value either becomes JSON that reads back as the same, or is refused by a name that UTF-8 can write."""
    made, field = None, "metadata"
    try:
        made = json_value({"a": value}, "metadata")
    except SubmissionError as error:
        field = error.field
    assert field.encode().startswith(b"metadata")
    assert json.loads(json.dumps(made, ensure_ascii=False, allow_nan=False).encode()) == made


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (Size.BIG, "big"),
        (Count.TWO, 2),
        (datetime(2026, 11, 28, 16, tzinfo=UTC), "2026-11-28T16:00:00+00:00"),
        (datetime(2026, 11, 28, 16), "2026-11-28T16:00:00"),  # noqa: DTZ001 - a producer may leave the zone out
        ({True: 1, None: 2, 0.5: 3, 7: 4}, {"true": 1, "null": 2, "0.5": 3, "7": 4}),
        (10**4000, 10**4000),
    ],
    ids=str,
)
def test_a_value_as_json(value: Any, made: Any) -> None:
    """A value becomes what Python's JSON encoder or its one text form makes of it."""
    assert json.loads(json.dumps(json_value(value, "metadata"))) == made


WITHOUT_TEXT = [Color.RED, Naming(), Naming, {1}, bytearray(b"x"), range(3), 10**4400, b"", ...]


@pytest.mark.parametrize("value", WITHOUT_TEXT, ids=lambda value: type(value).__name__)
def test_a_value_without_a_text_form(value: Any) -> None:
    """A value without a text form is refused by its place and its type, and never shown."""
    with pytest.raises(SubmissionError, match=r"^metadata\.lines\.1\.value: is ") as raised:
        json_value({"lines": [0, {"value": value}]}, "metadata")
    assert raised.value.field == "metadata.lines.1.value"


def nested(depth: int, value: Any = None) -> Any:
    """Return a value inside lists and objects."""
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value


def test_depth_is_limited() -> None:
    """A value may have 100 levels and not more, however deep it is."""
    assert json_value(nested(MAX_DEPTH), "metadata") == nested(MAX_DEPTH)
    for depth in (MAX_DEPTH + 1, sys.getrecursionlimit() * 10):
        with pytest.raises(SubmissionError, match=r"^metadata: is nested more than 100 levels deep$"):
            json_value(nested(depth), "metadata")


def test_a_value_that_contains_itself_is_refused() -> None:
    """A list that contains itself is nested too deeply."""
    value: list[Any] = []
    value.append(value)
    with pytest.raises(SubmissionError, match="nested"):
        json_value(value, "metadata")


def test_a_long_name_is_cut() -> None:
    """The name of a field is cut, since a producer chooses its keys."""
    with pytest.raises(SubmissionError) as raised:
        json_value({"k" * 10_000: b""}, "metadata")
    assert len(raised.value.field) == MAX_FIELD
