"""A worker that cannot serve its metrics ends before it consumes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.concurrency.solo import TaskPool as SoloPool

from worker.queue import app


@pytest.mark.parametrize("pool", [PreforkPool, SoloPool])
def test_another_pool_is_refused(pool: type, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """With metrics on, a worker whose pool is none of threads ends, and says which option to use."""
    settings = app.settings.model_copy(update={"http_address": "127.0.0.1:1"})
    monkeypatch.setattr(app, "settings", settings)
    with pytest.raises(SystemExit):
        app._listen(instance=SimpleNamespace(pool_cls=pool))
    assert "--pool=threads" in caplog.text


def test_without_an_address_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PHOTOGPT_HTTP_ADDRESS any pool is accepted, and no port is opened."""
    served: list[object] = []
    monkeypatch.setattr(app, "serve_worker", lambda *given: served.append(given))
    assert app.settings.http_address is None
    app._listen(instance=SimpleNamespace(pool_cls=SoloPool))
    assert served == []
