"""Operations: opened with their target, finished once."""

from collections.abc import Iterator

import pytest

from jobrunner.core.records import Scope
from jobrunner.errors import NotFound
from jobrunner.lib.clock import WallClock
from jobrunner.lib.ids import CountedIds
from jobrunner.service.operations import Operations
from jobrunner.store import open_store
from tests.support.stores import a_job, an_execution

HOME = Scope()


@pytest.fixture
def operations() -> Iterator[Operations]:
    store = open_store("sqlite:///:memory:")
    yield Operations(store, WallClock(), CountedIds())
    store.close()


def test_an_operation_names_what_it_is_about(operations: Operations) -> None:
    run = operations.open("run", an_execution(), document='{"a": 1}')
    create = operations.open("create", a_job(), done=True)
    assert (run.target_kind, run.target_name, run.done_at) == ("execution", "job-1", None)
    assert (create.target_kind, create.target_uid) == ("job", "uid-of-job")
    assert create.done_at == create.created_at
    assert list(operations.list(HOME)) == [create, run]


def test_a_finished_operation_says_so_for_good(operations: Operations) -> None:
    run = operations.open("run", an_execution())
    done = operations.finish(run, document='{"response": {}}')
    assert operations.get(HOME, run.id) == done
    assert done.done_at is not None
    assert done.document == '{"response": {}}'


def test_a_deleted_operation_is_not_found(operations: Operations) -> None:
    run = operations.open("run", an_execution())
    operations.delete(HOME, run.id)
    with pytest.raises(NotFound):
        operations.get(HOME, run.id)
