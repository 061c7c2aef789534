"""Lists by page and selector, over a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from jobrunner.core.records import Lease
from jobrunner.core.selectors import parse_selector
from jobrunner.core.states import ExecutionState, TaskState
from jobrunner.errors import UsageError
from jobrunner.ports import Store, Turn
from jobrunner.service import listing
from jobrunner.service.listing import Listed, Listing, Place
from jobrunner.store import open_store
from tests.support.stores import NOW, TTL, a_job, an_execution

HERE = Place("local", "us-central1")
EVERYWHERE = Place("local", None)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = open_store("sqlite:///:memory:")
    yield opened
    opened.close()


def names(rows: Listed[object]) -> list[str]:
    return [getattr(row, "name", None) or row.task.index for row in rows.items]  # type: ignore[attr-defined]


def all_pages(ask: Callable[[str | None], Listed[object]]) -> list[list[str]]:
    pages: list[list[str]] = []
    after: str | None = None
    while True:
        rows = ask(after)
        pages.append(names(rows))
        after = rows.after
        if after is None:
            return pages


def some_jobs(store: Store) -> None:
    for number in range(5):
        store.create_job(a_job(f"a{number}"))
    other = a_job("a1", uid="west", region="us-west1")
    store.create_job(other)
    store.create_job(a_job("a9", uid="p2", project="p2"))


def a_job_with(store: Store, job: str, count: int, **fields: object) -> None:
    store.create_job(a_job(job))
    for number in range(count):
        store.create_execution(
            an_execution(f"{job}-{number}", job=job, created_at=NOW + number, **fields)
        )


def test_jobs_come_in_pages_by_name(store: Store) -> None:
    some_jobs(store)
    pages = all_pages(lambda after: Listing(store).jobs(HERE, limit=2, after=after))
    assert pages == [["a0", "a1"], ["a2", "a3"], ["a4"]]


def test_without_a_region_the_jobs_of_all_regions_of_the_project_are_shown(store: Store) -> None:
    some_jobs(store)
    pages = all_pages(lambda after: Listing(store).jobs(EVERYWHERE, limit=4, after=after))
    assert pages == [["a0", "a1", "a2", "a3"], ["a4", "a1"]]
    assert names(Listing(store).jobs(Place("p", None), limit=10)) == []


def test_a_full_last_page_names_no_next_one(store: Store) -> None:
    some_jobs(store)
    assert Listing(store).jobs(HERE, limit=5).after is None


def test_jobs_are_selected_by_their_labels_and_their_region(store: Store) -> None:
    some_jobs(store)
    for text, found in (
        ("team=x", 6),
        ("team=x,cloud.googleapis.com/location=us-west1", 1),
        ("team!=x", 0),
    ):
        rows = Listing(store).jobs(EVERYWHERE, selector=parse_selector(text), limit=10)
        assert len(rows.items) == found


def test_executions_come_newest_first_and_by_job(store: Store) -> None:
    a_job_with(store, "a", 3)
    a_job_with(store, "b", 2)
    of_a = parse_selector("run.googleapis.com/job = a")
    pages = all_pages(
        lambda after: Listing(store).executions(HERE, selector=of_a, limit=2, after=after)
    )
    assert pages == [["a-2", "a-1"], ["a-0"]]
    assert names(Listing(store).executions(HERE, job="b", limit=9)) == ["b-1", "b-0"]
    assert names(Listing(store).executions(HERE, job="b", selector=of_a, limit=9)) == []
    assert len(Listing(store).executions(EVERYWHERE, limit=9).items) == 5
    assert len(Listing(store).executions(Place("q", None), limit=9).items) == 0


@pytest.mark.parametrize("most", [32, 2])
def test_the_executions_of_all_regions_of_a_project_are_merged_by_time(
    store: Store, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(listing, "MOST_MERGED", most)
    place = 0
    for project, regions in (("local", ("r1", "r2", "r3")), ("other", ("r1",))):
        for region in regions:
            for job in ("a", "b"):
                home = f"{project}-{region}-{job}"
                store.create_job(a_job(job, uid=home, project=project, region=region))
    for number in range(4):
        for project, region in (("local", "r2"), ("other", "r1"), ("local", "r3"), ("local", "r1")):
            for job in ("a", "b"):
                place += 1
                store.create_execution(
                    an_execution(
                        f"{region}-{job}-{number}", uid=f"{project}-{place}", job=job,
                        job_uid=f"{project}-{region}-{job}", project=project, region=region,
                        created_at=NOW + number,
                    )
                )  # fmt: skip
    of_a = parse_selector("run.googleapis.com/job = a")
    for selector in (of_a, parse_selector("")):
        pages = all_pages(
            lambda after, asked=selector: Listing(store).executions(  # type: ignore[misc]
                EVERYWHERE, selector=asked, limit=5, after=after
            )
        )
        found = [name for page in pages for name in page]
        assert len(found) == len(set(found)) == (12 if selector else 24)
        assert [name[-1] for name in found] == sorted((name[-1] for name in found), reverse=True)
        assert all(len(page) == 5 for page in pages[:-1])
    tasks = Listing(store).tasks(EVERYWHERE, selector=of_a, limit=100)
    assert [row.execution.name for row in tasks.items[::3]] == [
        row.name for row in Listing(store).executions(EVERYWHERE, selector=of_a, limit=100).items
    ]


def test_an_execution_that_runs_is_found_behind_those_that_ended(store: Store) -> None:
    a_job_with(store, "a", 4)
    for number in (1, 2, 3):
        claimed = store.claim(f"uid-of-a-{number}", "me", now=NOW, ttl=TTL)
        ended = replace(claimed, state=ExecutionState.SUCCEEDED, completed_at=NOW)
        store.record(Turn(replace(ended, lease=Lease("me", claimed.lease.epoch, NOW))))  # type: ignore[union-attr]
    active = parse_selector("run.googleapis.com/job = a, run.googleapis.com/servingState = Active")
    assert names(Listing(store).executions(HERE, selector=active, limit=1)) == ["a-0"]


def test_a_page_looks_at_so_many_rows_and_then_names_a_next_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SCAN", 2)
    monkeypatch.setattr(listing, "BATCH", 2)
    a_job_with(store, "a", 5, labels={"team": "x"})
    nothing = parse_selector("team=y")
    pages = all_pages(
        lambda after: Listing(store).executions(HERE, selector=nothing, limit=9, after=after)
    )
    assert pages == [[], [], []]


def test_tasks_come_by_execution_and_index_in_pages(store: Store) -> None:
    a_job_with(store, "a", 2, tasks=3)
    pages = all_pages(lambda after: Listing(store).tasks(HERE, limit=2, after=after))
    assert [row for page in pages for row in page] == [0, 1, 2, 0, 1, 2]
    assert [len(page) for page in pages if page] == [2, 2, 2]


def test_tasks_of_one_execution_are_selected_by_state(store: Store) -> None:
    a_job_with(store, "a", 2, tasks=3)
    execution = "run.googleapis.com/execution = a-1"
    for text, found in (
        (execution, [0, 1, 2]),
        (f"{execution},run.googleapis.com/runningState in (Pending,Running)", [0, 1, 2]),
        (f"{execution},run.googleapis.com/runningState in (Succeeded,Failed)", []),
        (f"{execution},run.googleapis.com/runningState notin (Pending)", []),
        (f"{execution},run.googleapis.com/runningState = Nonsense", []),
        ("run.googleapis.com/execution = missing", []),
        (f"{execution}, run.googleapis.com/job = b", []),
    ):
        selector = parse_selector(text)
        pages = all_pages(
            lambda after, s=selector: Listing(store).tasks(HERE, selector=s, limit=2, after=after)  # type: ignore[misc]
        )
        assert [row for page in pages for row in page] == found, text
        everywhere = Listing(store).tasks(EVERYWHERE, selector=selector, limit=9)
        assert names(everywhere) == found
    assert TaskState.PENDING.value == "Pending"


def test_a_token_whose_execution_is_gone_says_so(store: Store) -> None:
    a_job_with(store, "a", 3)
    after = Listing(store).tasks(HERE, limit=1).after
    for number in range(3):
        store.delete_execution(f"uid-of-a-{number}")
    with pytest.raises(UsageError, match="a place that is gone"):
        Listing(store).tasks(HERE, limit=1, after=after)
