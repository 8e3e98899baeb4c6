"""Endpoints: which URLs share one."""

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


def test_spellings_of_one_url_share_an_endpoint() -> None:
    """URLs that differ in query, fragment, letter case of the host or default port share an endpoint."""
    assert len({endpoint_of(url) for url in SAME}) == 1
    assert endpoint_of(SAME[0]).url == "https://shop.example/hooks"


def test_other_places_are_other_endpoints() -> None:
    """URLs that differ in scheme, host, port or path are different endpoints."""
    assert len({endpoint_of(url).id for url in (SAME[0], *OTHER)}) == 1 + len(OTHER)
    assert endpoint_of("https://[::1]:99/x").url == "https://[::1]:99/x"
    assert endpoint_of("https://shop.example") == endpoint_of("https://shop.example/?a")


@pytest.mark.parametrize("url", ["http://[", "http://h:99999/", "http://h:port/?secret", "", "\udcff"])
def test_an_invalid_url_has_an_endpoint(url: str) -> None:
    """An invalid URL has an endpoint without its query, and raises nothing."""
    assert "secret" not in endpoint_of(url).url


@given(st.text())
def test_any_text_has_an_endpoint(url: str) -> None:
    """Any text has an endpoint with a short id of letters and digits."""
    found = endpoint_of(url)
    assert found.id.startswith("ep_")
    assert found.id[3:].isalnum()
    assert len(found.id) == 19
