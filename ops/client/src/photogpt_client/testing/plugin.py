"""The fixtures of the test kit. pytest loads this module in every session, so it imports nothing else at first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from photogpt_client.testing.events import SignedRequest
    from photogpt_client.testing.fake import FakePhotoGPT
    from photogpt_client.testing.service import PhotoGPTService


@pytest.fixture(scope="session")
def photogpt_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhotoGPTService]:
    """The processes behind `photogpt`; they live as long as the session."""
    from photogpt_client.testing.service import PhotoGPTService  # noqa: PLC0415 - only where it is used

    running = PhotoGPTService(tmp_path_factory.mktemp("photogpt"))
    yield running
    running.client.close()
    running.stop()


@pytest.fixture
def photogpt(photogpt_service: PhotoGPTService) -> PhotoGPTService:
    """The real service with a Valkey, a local PhotoGPT and a worker, without any job of another test."""
    photogpt_service.reset()
    return photogpt_service


@pytest.fixture
def photogpt_fake() -> Iterator[FakePhotoGPT]:
    """The service in memory: no process, and jobs succeed at once."""
    from photogpt_client.testing.fake import FakePhotoGPT  # noqa: PLC0415 - only where it is used

    fake = FakePhotoGPT()
    yield fake
    fake.close()


@pytest.fixture
def signed_event() -> Callable[..., SignedRequest]:
    """A function that returns a webhook with a valid signature."""
    from photogpt_client.testing.events import signed_event as make  # noqa: PLC0415 - only where it is used

    return make


@pytest.fixture
def forged_event() -> Callable[..., SignedRequest]:
    """A function that returns a webhook whose body was changed after it was signed."""
    from photogpt_client.testing.events import forged_event as make  # noqa: PLC0415 - only where it is used

    return make
