"""Lists page by page, with label selectors.

What a selector says about the job, the execution and the states is asked of the store; the rest is
filtered while paging. One page looks at :data:`SCAN` rows at most, so a page may be short, or even
empty, and still name a next one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from jobrunner.core.records import Execution, Job, Scope, Task
from jobrunner.core.selectors import (
    ACTIVE,
    EXECUTION,
    JOB,
    RUNNING_STATE,
    SERVING,
    Operator,
    Requirement,
    Selector,
    execution_labels,
    job_labels,
    task_labels,
)
from jobrunner.core.states import TaskState
from jobrunner.errors import NotFound, UsageError
from jobrunner.ports import Page, Store

T = TypeVar("T")

SCAN = 1000
BATCH = 500
MOST_MERGED = 32
"""Regions of a project whose lists are read each by itself."""
EVERYTHING = Selector()


class Place(NamedTuple):
    """Where to look; no region means every region of the project."""

    project: str
    region: str | None


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """``after`` is where the next page begins; ``None`` at the end."""

    items: Sequence[T]
    after: str | None = None


class TaskRow(NamedTuple):
    task: Task
    execution: Execution


class Listing:
    """``limit`` is the size of a page; ``after`` what the page before named, ``None`` for the
    first; it is of use for the very same list only. Raises UsageError if its place is gone."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def jobs(
        self,
        place: Place,
        *,
        selector: Selector = EVERYTHING,
        limit: int,
        after: str | None = None,
    ) -> Listed[Job]:
        """By region and name."""
        keep = (lambda job: selector.selects(job_labels(job))) if selector else None
        project, region = place
        if region is not None:
            scope = Scope(project, region)
            return _page(
                lambda page: self._store.list_jobs(scope, page=page),
                lambda job: job.name,
                keep,
                limit,
                after,
            )
        # Everywhere, but from the beginning of the project and no further than its end.
        start = f"{project}//"

        def fetch(page: Page) -> Sequence[Job]:
            rows = self._store.list_jobs(None, page=Page(page.limit, page.after or start))
            return [job for job in rows if job.project == project]

        return _page(
            fetch, lambda job: f"{job.project}/{job.region}/{job.name}", keep, limit, after
        )

    def executions(
        self,
        place: Place,
        *,
        job: str | None = None,
        selector: Selector = EVERYTHING,
        limit: int,
        after: str | None = None,
    ) -> Listed[Execution]:
        """Newest first."""
        scopes = self._scopes(place)
        fetch = self._executions(scopes, job, selector)
        if fetch is None:
            return Listed(())

        def keep(one: Execution) -> bool:
            return one.project == place.project and selector.selects(execution_labels(one))

        told = None not in scopes and all(map(_told_to_store, selector.requirements))
        return _page(fetch, lambda one: one.uid, None if told else keep, limit, after)

    def tasks(
        self,
        place: Place,
        *,
        job: str | None = None,
        selector: Selector = EVERYTHING,
        limit: int,
        after: str | None = None,
    ) -> Listed[TaskRow]:
        """By execution, newest first, and by index. Each execution counts as a row looked at."""
        words = selector.values(RUNNING_STATE)
        states = None if words is None else [state for state in TaskState if state.value in words]
        begun, index = _place_of_task(after) if after else (None, None)
        found: list[TaskRow] = []
        looked = 0
        for execution in self._executions_of_tasks(place, job, selector, begun):
            position = index if execution.uid == begun else None
            while True:
                if len(found) == limit or looked >= SCAN:
                    return Listed(found, f"{execution.uid}/{position or ''}")
                size = min(BATCH, limit - len(found))
                page = Page(limit=size, after=position)
                rows = self._store.list_tasks(execution.uid, states=states, page=page)
                looked += 1 + len(rows)
                for task in rows:
                    position = str(task.index)
                    if selector.selects(task_labels(task, execution)):
                        found.append(TaskRow(task, execution))
                if len(rows) < size:
                    break
        return Listed(found)

    # ------------------------------------------------------------------------------- executions

    def _scopes(self, place: Place) -> Sequence[Scope | None]:
        """Where the store is to look, each by itself: it keeps the order for each region and for
        each job in it, not for a project. ``None`` is everywhere, other projects too."""
        project, region = place
        regions = self._store.regions(project) if region is None else [region]
        if len(regions) > MOST_MERGED:
            return [None]
        return [Scope(project, each) for each in regions]

    def _executions(
        self, scopes: Sequence[Scope | None], job: str | None, selector: Selector
    ) -> Callable[[Page], Sequence[Execution]] | None:
        """Reads a page, as far as the store can tell what is wanted; ``None`` if nothing can be."""
        jobs = selector.values(JOB)
        if job is not None:
            jobs = frozenset([job]) if jobs is None else jobs & {job}
        if jobs is not None and not jobs:
            return None
        one = next(iter(jobs)) if jobs is not None and len(jobs) == 1 else None
        live = math.inf if selector.values(SERVING) == frozenset([ACTIVE]) else None

        def fetch(page: Page) -> Sequence[Execution]:
            pages = [
                self._store.list_executions(scope, job=one, ended_after=live, page=page)
                for scope in scopes
            ]
            if len(pages) == 1:
                return pages[0]
            rows = [row for rows in pages for row in rows]
            rows.sort(key=lambda row: (row.created_at, row.uid), reverse=True)
            return rows[: page.limit]

        return fetch

    def _executions_of_tasks(
        self, place: Place, job: str | None, selector: Selector, begun: str | None
    ) -> Iterator[Execution]:
        """Those whose tasks are wanted, from ``begun`` on."""
        names = selector.values(EXECUTION)
        project, region = place
        if names is not None and region is not None:
            known = [self._find(Scope(project, region), name) for name in sorted(names)]
            found = [one for one in known if one is not None and job in (None, one.job_name)]
            places = [one.uid for one in found]
            if begun is not None and begun not in places:
                raise _gone()
            yield from found[places.index(begun) if begun else 0 :]
            return
        fetch = self._executions(self._scopes(place), job, selector)
        if fetch is None:
            return
        if begun is not None:
            try:
                yield self._store.get_execution_by_uid(begun)
            except NotFound:
                raise _gone() from None
        after = begun
        while True:
            rows = fetch(Page(limit=BATCH, after=after))
            for one in rows:
                if one.project == project and (names is None or one.name in names):
                    yield one
            if len(rows) < BATCH:
                return
            after = rows[-1].uid

    def _find(self, scope: Scope, name: str) -> Execution | None:
        try:
            return self._store.get_execution(scope, name)
        except NotFound:
            return None


def _told_to_store(requirement: Requirement) -> bool:
    """Whether the store leaves out what does not fulfil it."""
    if requirement.operator is not Operator.IN or len(requirement.values) != 1:
        return False
    return requirement.key == JOB or (requirement.key == SERVING and requirement.values == {ACTIVE})


def _page(
    fetch: Callable[[Page], Sequence[T]],
    position: Callable[[T], str],
    keep: Callable[[T], bool] | None,
    limit: int,
    after: str | None,
) -> Listed[T]:
    if keep is None:
        rows = fetch(Page(limit=limit + 1, after=after))
        if len(rows) <= limit:
            return Listed(rows)
        return Listed(rows[:limit], position(rows[limit - 1]))
    found: list[T] = []
    looked = 0
    while True:
        rows = fetch(Page(limit=BATCH, after=after))
        for row in rows:
            if len(found) == limit:
                return Listed(found, after)
            looked += 1
            after = position(row)
            if keep(row):
                found.append(row)
        if len(rows) < BATCH:
            return Listed(found)
        if looked >= SCAN:
            return Listed(found, after)


def _place_of_task(position: str) -> tuple[str, str | None]:
    uid, _, index = position.rpartition("/")
    if index and not (index.isdecimal() and len(index) <= 9):
        raise _gone()
    return uid, index or None


def _gone() -> UsageError:
    return UsageError("The page token names a place that is gone; ask again without one.")
