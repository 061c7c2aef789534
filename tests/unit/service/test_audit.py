"""The audit log: noted at once, written with the next commit, kept if that fails."""

import asyncio
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from jobrunner.calls import Principal
from jobrunner.errors import StoreFault
from jobrunner.lib.clock import SystemClock
from jobrunner.ports import Page, Store
from jobrunner.service import audit as module
from jobrunner.service.audit import Audit
from jobrunner.store import open_store

T = TypeVar("T")
ME = Principal("me")


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite:///:memory:")
    yield opened
    opened.close()


@pytest.fixture
def audit(store: Store) -> Audit:
    return Audit(store, SystemClock())


async def commit(work: Callable[[], T]) -> T:
    return work()


async def full(work: Callable[[], T]) -> T:
    raise StoreFault("The disk is full.")


def resources(audit: Audit) -> list[str]:
    return [entry.resource for entry in audit.newest(Page())]


def test_nothing_is_written_until_the_next_commit(audit: Audit) -> None:
    audit.record(ME, "run.jobs.run", "jobs/a", 200)
    assert resources(audit) == []
    assert audit.waiting == 1
    asyncio.run(audit.write(commit))
    assert resources(audit) == ["jobs/a"]
    assert audit.waiting == 0


def test_what_could_not_be_written_is_written_the_next_time_in_order(audit: Audit) -> None:
    audit.record(ME, "run.jobs.run", "jobs/a", 200)
    with pytest.raises(StoreFault):
        asyncio.run(audit.write(full))
    audit.record(ME, "run.jobs.run", "jobs/b", 403)
    audit.flush()
    assert resources(audit) == ["jobs/b", "jobs/a"]


def test_nothing_noted_is_no_commit(audit: Audit) -> None:
    asyncio.run(audit.write(full))
    audit.flush()


def test_notes_that_cannot_be_kept_are_counted(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    for i in range(5):
        audit.record(ME, "run.jobs.run", f"jobs/{i}", 200)
    audit.flush()
    newest = audit.newest(Page())
    assert [entry.resource for entry in newest] == ["jobs/4", "jobs/3", ""]
    assert newest[-1].detail.startswith("3 entries were lost")


def test_a_long_name_takes_no_more_room_than_it_needs(audit: Audit) -> None:
    audit.record(ME, "run.jobs.run", "x" * 100_000, 404, "y" * 100_000)
    audit.flush()
    [entry] = audit.newest(Page())
    assert (len(entry.resource), len(entry.detail)) == (1000, 1000)
