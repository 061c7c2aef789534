"""Group commit: what one turn of the loop brings is one transaction, and errors stay apart."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from jobrunner.core.records import DEFAULT_PROJECT, Scope
from jobrunner.errors import JobrunnerError, NotFound, StoreFault
from jobrunner.ports import Store
from jobrunner.service.commit import MOST_TURNS, GroupCommit
from jobrunner.store import open_store
from tests.support.stores import a_job

SCOPE = Scope(DEFAULT_PROJECT, "us-central1")


class FakeStore:
    """Keeps what each group wrote; a group in which a work breaks keeps nothing."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.written: list[object] = []
        self.fault: StoreFault | None = None
        self.disk = threading.Event()
        """What is begun is finished when this is set."""
        self.late_fault: StoreFault | None = None

    def begin_group(
        self, works: Sequence[Callable[[], object]]
    ) -> tuple[Sequence[object], Callable[[], None]]:
        before = len(self.written)
        answers = self.group(works)

        def finish() -> None:
            assert self.disk.wait(10)
            if self.late_fault:
                del self.written[before:]
                raise self.late_fault

        return answers, finish

    def group(self, works: Sequence[Callable[[], object]]) -> Sequence[object]:
        self.groups.append(len(works))
        if self.fault:
            raise self.fault
        answers: list[object] = []
        for work in works:
            try:
                answers.append(work())
            except JobrunnerError as error:
                answers.append(error)
        self.written += answers
        return answers


def over(fake: FakeStore, **options: int) -> GroupCommit:
    return GroupCommit(cast(Store, fake), **options)


def gives(value: object) -> Callable[[], object]:
    return lambda: value


def raises(error: Exception) -> Callable[[], object]:
    def work() -> object:
        raise error

    return work


async def all_of(commit: GroupCommit, *works: Callable[[], object]) -> list[object | BaseException]:
    return await asyncio.gather(*(commit(work) for work in works), return_exceptions=True)


async def test_the_works_of_one_turn_are_one_group() -> None:
    store = FakeStore()
    assert await all_of(over(store), *map(gives, range(50))) == list(range(50))
    assert store.groups == [50]


async def test_the_next_turn_is_the_next_group() -> None:
    store = FakeStore()
    commit = over(store)
    assert await commit(gives("a")) == "a"
    assert await commit(gives("b")) == "b"
    assert store.groups == [1, 1]


async def test_a_flush_waits_while_each_turn_brings_more_but_not_for_ever() -> None:
    store = FakeStore()
    commit = over(store)
    asked: list[asyncio.Future[object]] = []
    for number in range(30):
        asked.append(asyncio.ensure_future(commit(gives(number))))
        await asyncio.sleep(0)
    assert await asyncio.gather(*asked) == list(range(30))
    assert max(store.groups) <= MOST_TURNS + 2
    assert len(store.groups) <= 30 / MOST_TURNS + 1


async def test_an_answer_comes_only_after_the_group_is_durable() -> None:
    store = FakeStore()
    seen: list[list[object]] = []

    async def caller(value: int) -> None:
        await commit(gives(value))
        seen.append(list(store.written))

    commit = over(store)
    await asyncio.gather(caller(1), caller(2))
    assert seen == [[1, 2], [1, 2]]


async def test_an_error_of_one_work_is_for_its_caller_alone() -> None:
    missing = NotFound("no such job")
    answers = await all_of(over(FakeStore()), gives(1), raises(missing), gives(3))
    assert answers == [1, missing, 3]


async def test_a_fault_of_the_store_is_for_all() -> None:
    store = FakeStore()
    store.fault = StoreFault("the disk is full")
    answers = await all_of(over(store), gives(1), gives(2))
    assert answers == [store.fault, store.fault]


@pytest.mark.parametrize("bug", [KeyError("x"), StopIteration("x")], ids=repr)
async def test_a_bug_in_one_work_is_for_its_caller_alone(bug: Exception) -> None:
    store = FakeStore()
    answers = await all_of(over(store), gives(1), raises(bug), gives(3))
    assert answers[0] == 1
    assert answers[2] == 3
    assert isinstance(answers[1], KeyError | RuntimeError)
    assert store.written == [1, 3]


async def test_a_group_has_a_bound_and_the_rest_follows_in_order() -> None:
    store = FakeStore()
    answers = await all_of(over(store, largest=4), *map(gives, range(10)))
    assert answers == list(range(10))
    assert store.groups == [4, 4, 2]
    assert store.written == list(range(10))


async def test_a_caller_that_leaves_before_its_turn_has_written_nothing() -> None:
    store = FakeStore()
    commit = over(store)
    stays = asyncio.ensure_future(commit(gives("stays")))
    leaves = asyncio.ensure_future(commit(gives("leaves")))
    asyncio.get_running_loop().call_soon(leaves.cancel)
    assert await stays == "stays"
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert store.written == ["stays"]


async def test_when_all_have_left_there_is_no_transaction() -> None:
    store = FakeStore()
    commit = over(store)
    leaves = asyncio.ensure_future(commit(gives(1)))
    asyncio.get_running_loop().call_soon(leaves.cancel)
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert await commit(gives(2)) == 2
    assert store.groups == [1]


async def test_over_a_real_store_each_work_is_undone_alone() -> None:
    store = open_store("sqlite:///:memory:")
    commit = GroupCommit(store)
    job = a_job("one")
    answers = await all_of(
        commit,
        lambda: store.create_job(job),
        lambda: store.create_job(job),
        lambda: store.create_job(a_job("two")),
    )
    assert [type(answer).__name__ for answer in answers] == [
        "NoneType",
        "AlreadyExists",
        "NoneType",
    ]
    assert list(store.job_names(SCOPE)) == ["one", "two"]
    store.close()


async def test_over_a_real_store_a_bug_undoes_its_own_writes_only() -> None:
    store = open_store("sqlite:///:memory:")
    commit = GroupCommit(store)

    def breaks() -> None:
        store.create_job(a_job("broken"))
        raise KeyError("x")

    answers = await all_of(commit, lambda: store.create_job(a_job("one")), breaks)
    assert answers[0] is None
    assert isinstance(answers[1], KeyError)
    assert list(store.job_names(SCOPE)) == ["one"]
    store.close()


# ---------------------------------------------------------------- apart


async def test_the_loop_goes_on_while_the_disk_syncs_and_nobody_is_answered_before() -> None:
    store = FakeStore()
    commit = over(store)
    first = asyncio.ensure_future(commit.apart(gives(1)))
    beside = asyncio.ensure_future(commit(gives(2)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert store.groups == [2]
    assert not first.done()
    assert not beside.done()
    store.disk.set()
    assert await asyncio.gather(first, beside) == [1, 2]


async def test_what_comes_while_the_disk_syncs_is_the_next_group() -> None:
    store = FakeStore()
    commit = over(store)
    first = asyncio.ensure_future(commit.apart(gives(1)))
    for _ in range(20):
        await asyncio.sleep(0)
    later = [asyncio.ensure_future(commit(gives(number))) for number in (2, 3)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert store.groups == [1]
    store.disk.set()
    assert await asyncio.gather(first, *later) == [1, 2, 3]
    assert store.groups == [1, 2]


async def test_a_sync_that_fails_is_a_fault_for_all_of_its_group_and_the_next_one_is_tried() -> (
    None
):
    store = FakeStore()
    store.late_fault = StoreFault("the disk is full")
    store.disk.set()
    commit = over(store)
    answers = await asyncio.gather(commit.apart(gives(1)), commit(gives(2)), return_exceptions=True)
    assert answers == [store.late_fault, store.late_fault]
    assert store.written == []
    store.late_fault = None
    assert await commit.apart(gives(3)) == 3


async def test_a_caller_that_leaves_while_the_disk_syncs_does_not_disturb_the_others() -> None:
    store = FakeStore()
    commit = over(store)
    leaves = asyncio.ensure_future(commit.apart(gives("leaves")))
    stays = asyncio.ensure_future(commit.apart(gives("stays")))
    for _ in range(20):
        await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.sleep(0)
    store.disk.set()
    assert await stays == "stays"
    assert store.written == ["leaves", "stays"]


async def test_a_bug_in_a_group_that_is_apart_is_for_its_caller_alone() -> None:
    store = FakeStore()
    store.disk.set()
    commit = over(store)
    answers = await asyncio.gather(
        commit.apart(gives(1)), commit.apart(raises(KeyError("x"))), return_exceptions=True
    )
    assert answers[0] == 1
    assert isinstance(answers[1], KeyError)
    assert store.written == [1]
