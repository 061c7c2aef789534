"""Running with a key: once, whatever became of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobrunner.core.records import Scope
from jobrunner.errors import AlreadyExists, InvalidSpec, KeySpent
from jobrunner.lib.clock import WallClock
from jobrunner.lib.ids import CountedIds
from jobrunner.service import Service, make_service
from jobrunner.store import open_store
from jobrunner.store.logs import FileLogs
from tests.support.stores import a_job

HOME = Scope()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    store = open_store("sqlite:///:memory:")
    store.create_job(a_job())
    yield make_service(store, FileLogs(str(tmp_path)), WallClock(), CountedIds(), actor="me")
    store.close()


def test_a_key_that_was_used_returns_the_earlier_execution(service: Service) -> None:
    first = service.executions.run(HOME, "job", idempotency_key="k")
    assert service.executions.run(HOME, "job", idempotency_key="k") == first
    assert service.executions.run(HOME, "job", idempotency_key="l") != first


def test_a_key_whose_execution_is_gone_says_so_and_looks_for_no_other_name(
    service: Service,
) -> None:
    first = service.executions.run(HOME, "job", idempotency_key="k")
    service.store.delete_execution(first.uid)
    with pytest.raises(KeySpent, match=f"has opened execution '{first.name}' of job 'job' before"):
        service.executions.run(HOME, "job", idempotency_key="k")


def test_a_token_that_was_used_is_taken(service: Service) -> None:
    service.executions.run(HOME, "job", token="t")
    with pytest.raises(AlreadyExists):
        service.executions.run(HOME, "job", token="t")


@pytest.mark.parametrize("key", ["", "a\nb", "nul\0", "\ud800", "x" * 256])
def test_what_is_no_key_is_refused_by_rule(service: Service, key: str) -> None:
    with pytest.raises(InvalidSpec, match="allowed: 1 to 255 printable characters"):
        service.executions.run(HOME, "job", idempotency_key=key)
    assert service.executions.list(HOME) == []


def test_any_printable_text_is_a_key(service: Service) -> None:
    first = service.executions.run(HOME, "job", idempotency_key="a b/ä" * 51)
    assert service.executions.run(HOME, "job", idempotency_key="a b/ä" * 51) == first
