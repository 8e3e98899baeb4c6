"""Keys of stored files, and the settings that make them."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.environment import SettingsError
from config.settings import load_settings
from tests.unit.factories import CREATED, make_job
from worker.domain.media_type import media_type
from worker.outputs.keys import file_key, safe

PNG = media_type(b"\x89PNG\r\n\x1a\n")
TEMPLATE = "{tenant}/{date}/{id}/{n}{ext}"


def test_the_default_key() -> None:
    """A key has tenant, day of the end in UTC, job, number and the extension of the file's type."""
    job = make_job(tenant="shop-7")
    assert file_key(TEMPLATE, job, 2, PNG, finished_at=CREATED) == f"shop-7/2027-01-15/{job.id}/2.png"
    assert file_key("{kind}-{id}-{n}", make_job(), 1, PNG, finished_at=CREATED) == f"image-{job.id}-1"


@given(st.text(min_size=1, max_size=300))
def test_no_value_leaves_its_folder(value: str) -> None:
    """Whatever a tenant or an id is, it is one part of a path, without a dot in front, of at most 120 characters."""
    part = safe(value)
    assert PurePosixPath(part).parts == (part,)
    assert not part.startswith(".")
    assert part.isascii()
    assert 0 < len(part) <= 120


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_values_never_share_a_key(one: str, other: str) -> None:
    """Two tenants or ids have different parts, long ones too."""
    assert (safe(one) == safe(other)) == (one == other)
    assert (safe(one * 200) == safe(other * 200)) == (one * 200 == other * 200)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{tenant}/{n}{ext}", "must contain {id}"),
        ("{id}{ext}", "must contain {n}"),
        ("{id}/{n}/{user}", "contains {user}, which is unknown"),
        ("{id!r}/{n}", "which is unknown"),
        ("{id.__class__}/{n}", "which is unknown"),
        ("{id:>10}/{n}", "which is unknown"),
        ("{}/{id}/{n}", "contains {}, which is unknown"),
        ("../{id}/{n}", "begin with a dot"),
        ("/{id}/{n}", "must not begin or end with /"),
        ("{id}//{n}", "no part of it may be empty"),
        ("{id}/{n}/", "must not begin or end with /"),
        ("{id}/{n} copy", "may contain letters, digits"),
        ("{{id}}/{id}/{n}", "must not contain {{"),
        ("{id}/{n", "opens or closes nothing"),
        ("x" * 200 + "{id}{n}", "at most 200 characters"),
    ],
)
def test_templates_that_are_refused(template: str, problem: str) -> None:
    """A template that could give two files one key, or leave the folder, is refused with the reason."""
    with pytest.raises(SettingsError) as refused:
        load_settings(outputs_key=template)
    assert problem in str(refused.value)
    assert "PHOTOGPT_OUTPUTS_KEY" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("/srv/outputs", "must be s3://bucket/prefix"),
        ("file://srv/outputs", "three slashes"),
        ("file:///", "three slashes"),
        ("s3://", "must be s3://bucket/prefix"),
        ("https://bucket.s3.amazonaws.com", "must be s3://bucket/prefix"),
        ("s3://key:secret@bucket", "must not contain a user name or password"),
        ("s3://bucket?region=x", "must not contain ? or #"),
    ],
)
def test_storages_that_are_refused(url: str, problem: str) -> None:
    """A URL that is no bucket or folder is refused with what to write instead, and is not quoted."""
    with pytest.raises(SettingsError) as refused:
        load_settings(outputs=url)
    assert problem in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_record_outlives_its_files() -> None:
    """Files may not be waited for longer than the record of their job is kept."""
    with pytest.raises(SettingsError, match="PHOTOGPT_OUTPUTS_DEADLINE_S must not exceed PHOTOGPT_RETENTION_S"):
        load_settings(outputs="file:///srv/outputs", outputs_deadline_s=7200, retention_s=3600)
