"""The warning of an unreachable store, and the error that ends a search whose store stays unreachable."""

from __future__ import annotations

import pytest

from tests.support import object_store
from tests.support.waiting import wait_until
from tuner.artifacts import store as stores
from tuner.artifacts import watch as store_watch
from tuner.artifacts.retry import StoreUnreachableError
from tuner.artifacts.store import Store, opened
from tuner.artifacts.watch import watching


def test_one_warning_when_the_store_is_unreachable_and_one_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store_watch, "WATCH_S", 0.05)
    monkeypatch.setattr(stores, "N_TRIES", 1)
    said = ""

    def has(text: str) -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return text in said

    with object_store.serving() as server:
        opened.cache_clear()
        with watching(Store(f"{server.url}/runs")) as watch:
            server.stop()
            wait_until(lambda: has("cannot use the storage s3://bucket/runs ("))
            server.start()
            wait_until(lambda: has("the storage s3://bucket/runs can be used again"))
            watch.check()
    opened.cache_clear()
    assert len(said.splitlines()) == 2


def test_a_store_that_does_not_come_back_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_watch, "WATCH_S", 0.05)
    monkeypatch.setattr(stores, "N_TRIES", 1)

    def ended() -> bool:
        try:
            watch.check()
        except StoreUnreachableError as error:
            return "cannot use the storage s3://bucket/runs: still failing after 0 s" in str(error)
        return False

    with object_store.serving() as server:
        opened.cache_clear()
        with watching(Store(f"{server.url}/runs", limit_s=0.0)) as watch:
            server.stop()
            wait_until(ended)
            server.start()
    opened.cache_clear()


def test_without_a_store_nothing_is_watched() -> None:
    with watching(None) as watch:
        watch.check()
    watch.gone(StoreUnreachableError("a trial's model could not be fetched"))
    with pytest.raises(StoreUnreachableError, match="could not be fetched"):
        watch.check()
