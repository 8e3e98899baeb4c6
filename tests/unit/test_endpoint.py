"""What an endpoint is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.endpoint import endpoint_of

SAME = [
    "https://shop.example/hooks",
    "https://shop.example/hooks?order=7",
    "https://shop.example/hooks#top",
    "https://SHOP.example:443/hooks",
    "HTTPS://shop.example/hooks?",
]
OTHER = [
    "http://shop.example/hooks",
    "https://shop.example:8443/hooks",
    "https://shop.example/Hooks",
    "https://shop.example/hooks/",
    "https://shop.example/",
    "https://shop.example.evil/hooks",
    "https://[::1]/hooks",
]


def test_queries_make_no_other_endpoint() -> None:
    """Nor does another way to write the same place."""
    assert len({endpoint_of(url) for url in SAME}) == 1
    assert endpoint_of(SAME[0]).url == "https://shop.example/hooks"


def test_other_places_are_other_endpoints() -> None:
    """Scheme, host, port and path count."""
    assert len({endpoint_of(url).id for url in (SAME[0], *OTHER)}) == 1 + len(OTHER)
    assert endpoint_of("https://[::1]:99/x").url == "https://[::1]:99/x"
    assert endpoint_of("https://shop.example") == endpoint_of("https://shop.example/?a")


@pytest.mark.parametrize("url", ["http://[", "http://h:99999/", "http://h:port/?secret", "", "\udcff"])
def test_what_is_no_url_has_one_too(url: str) -> None:
    """An attempt at it says what is wrong; nothing raises before."""
    assert "secret" not in endpoint_of(url).url


@given(st.text())
def test_any_text_has_one(url: str) -> None:
    """Ids are short and safe in a key."""
    found = endpoint_of(url)
    assert found.id.startswith("ep_")
    assert found.id[3:].isalnum()
    assert len(found.id) == 19
