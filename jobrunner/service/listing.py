"""Lists page by page, with label selectors.

What a selector says about the job, the execution and the states is asked of the store; the rest is
filtered while paging. One page looks at :data:`SCAN` rows at most, so a page may be short, or even
empty, and still name a next one.

A page token is opaque to its bearer and belongs to one list: project, region, kind and selector.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from jobrunner.core.records import Execution, Job, Scope, Task
from jobrunner.core.selectors import (
    EXECUTION,
    JOB,
    RUNNING_STATE,
    Operator,
    Selector,
    execution_labels,
    job_labels,
    task_labels,
)
from jobrunner.core.states import TaskState
from jobrunner.errors import NotFound, UsageError
from jobrunner.ports import Page, Store

T = TypeVar("T")

SCAN = 2000
BATCH = 500
EVERYTHING = Selector()


class Place(NamedTuple):
    """Where to look; no region means every region of the project."""

    project: str
    region: str | None


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """``token`` asks for the next page; it is empty at the end."""

    items: Sequence[T]
    token: str = ""


class TaskRow(NamedTuple):
    task: Task
    execution: Execution


class Listing:
    """``limit`` is the size of a page; ``token`` what the page before named, empty for the first.
    Raises UsageError for a token that is of another list, or whose place is gone."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def jobs(
        self, place: Place, *, selector: Selector = EVERYTHING, limit: int, token: str = ""
    ) -> Listed[Job]:
        """By region and name."""
        query = _Query("jobs", place, selector)
        project, region = place
        if region is None:
            # Everywhere, but from the beginning of the project and no further than its end.
            start = f"{project}//"

            def fetch(page: Page) -> Sequence[Job]:
                rows = self._store.list_jobs(None, page=Page(page.limit, page.after or start))
                return [job for job in rows if job.project == project]

            found = _page(
                fetch,
                lambda job: f"{job.project}/{job.region}/{job.name}",
                _kept(selector, job_labels),
                limit,
                query.open(token),
            )
        else:
            scope = Scope(project, region)
            found = _page(
                lambda page: self._store.list_jobs(scope, page=page),
                lambda job: job.name,
                _kept(selector, job_labels),
                limit,
                query.open(token),
            )
        return query.listed(found)

    def executions(
        self,
        place: Place,
        *,
        job: str | None = None,
        selector: Selector = EVERYTHING,
        limit: int,
        token: str = "",
    ) -> Listed[Execution]:
        """Newest first."""
        query = _Query("executions", place, selector, job or "")
        fetch = self._executions(place, job, selector)
        if fetch is None:
            return Listed(())
        wanted = place.project

        def keep(one: Execution) -> bool:
            return one.project == wanted and selector.selects(execution_labels(one))

        if place.region is not None and _told_to_store(selector):
            return query.listed(_page(fetch, lambda one: one.uid, None, limit, query.open(token)))
        return query.listed(_page(fetch, lambda one: one.uid, keep, limit, query.open(token)))

    def tasks(
        self,
        place: Place,
        *,
        job: str | None = None,
        selector: Selector = EVERYTHING,
        limit: int,
        token: str = "",
    ) -> Listed[TaskRow]:
        """By execution, newest first, and by index. Each execution counts as a row looked at."""
        query = _Query("tasks", place, selector, job or "")
        states = _states(selector)
        after = query.open(token)
        begun, index = _place_of_task(after) if after else (None, None)
        found: list[TaskRow] = []
        looked = 0
        keep = selector.selects
        for execution in self._executions_of_tasks(place, job, selector, begun):
            position = index if execution.uid == begun else None
            while True:
                if len(found) == limit or looked >= SCAN:
                    return query.listed((found, f"{execution.uid}/{position or ''}"))
                size = min(BATCH, limit - len(found))
                page = Page(limit=size, after=position)
                rows = self._store.list_tasks(execution.uid, states=states, page=page)
                looked += 1 + len(rows)
                for task in rows:
                    position = str(task.index)
                    if keep(task_labels(task, execution)):
                        found.append(TaskRow(task, execution))
                if len(rows) < size:
                    break
        return query.listed((found, None))

    # ------------------------------------------------------------------------------- executions

    def _executions(
        self, place: Place, job: str | None, selector: Selector
    ) -> Callable[[Page], Sequence[Execution]] | None:
        """Reads a page, as far as the store can tell what is wanted; ``None`` if nothing can be."""
        jobs = selector.values(JOB)
        if job is not None:
            jobs = frozenset([job]) if jobs is None else jobs & {job}
        if jobs is not None and not jobs:
            return None
        one = next(iter(jobs)) if jobs is not None and len(jobs) == 1 else None
        project, region = place
        if region is not None:
            scope = Scope(project, region)
            return lambda page: self._store.list_executions(scope, job=one, page=page)
        return lambda page: self._store.list_executions(None, job=one, page=page)

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
        fetch = self._executions(place, job, selector)
        if fetch is None:
            return
        after = begun
        if begun is not None:
            try:
                yield self._store.get_execution_by_uid(begun)
            except NotFound:
                raise _gone() from None
        while True:
            rows = fetch(Page(limit=BATCH, after=after))
            yield from (
                one
                for one in rows
                if one.project == project and (names is None or one.name in names)
            )
            if len(rows) < BATCH:
                return
            after = rows[-1].uid

    def _find(self, scope: Scope, name: str) -> Execution | None:
        try:
            return self._store.get_execution(scope, name)
        except NotFound:
            return None


def _states(selector: Selector) -> frozenset[TaskState] | None:
    words = selector.values(RUNNING_STATE)
    return None if words is None else frozenset(s for s in TaskState if s.value in words)


def _told_to_store(selector: Selector) -> bool:
    """Whether nothing is left to filter once the store knows the job."""
    return all(
        one.key == JOB and one.operator is Operator.IN and len(one.values) == 1
        for one in selector.requirements
    )


def _kept(selector: Selector, labels: Callable[[T], dict[str, str]]) -> Callable[[T], bool] | None:
    return (lambda row: selector.selects(labels(row))) if selector else None


def _page(
    fetch: Callable[[Page], Sequence[T]],
    position: Callable[[T], str],
    keep: Callable[[T], bool] | None,
    limit: int,
    after: str | None,
) -> tuple[list[T], str | None]:
    """Rows, and the position of the last one looked at; ``None`` for that at the end."""
    found: list[T] = []
    looked = 0
    while True:
        size = BATCH if keep is not None else limit + 1 - len(found)
        rows = fetch(Page(limit=size, after=after))
        for row in rows:
            if len(found) == limit:
                return found, after
            looked += 1
            after = position(row)
            if keep is None or keep(row):
                found.append(row)
        if len(rows) < size:
            return found, None
        if looked >= SCAN:
            return found, after


# ------------------------------------------------------------------------------------ page tokens


class _Query:
    """One list, which page tokens belong to."""

    def __init__(self, kind: str, place: Place, selector: Selector, *more: str) -> None:
        wanted = sorted(
            (one.key, one.operator.value, sorted(one.values)) for one in selector.requirements
        )
        text = json.dumps([kind, *place, wanted, *more])
        self._mark = hashlib.sha256(text.encode()).hexdigest()[:12]

    def open(self, token: str) -> str | None:
        """The position in ``token``."""
        if not token:
            return None
        try:
            text = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise UsageError("The page token is damaged; ask again without one.") from None
        mark, slash, position = text.partition("/")
        if "\0" in position:
            raise _gone()
        if mark != self._mark or not slash:
            raise UsageError(
                "The page token is of another list: project, region, selector and parent must be"
                " the same for every page. Ask again without one."
            )
        return position

    def listed(self, found: tuple[Sequence[T], str | None]) -> Listed[T]:
        items, position = found
        if position is None:
            return Listed(items)
        text = f"{self._mark}/{position}"
        return Listed(items, base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))


def _place_of_task(position: str) -> tuple[str, str | None]:
    uid, _, index = position.rpartition("/")
    if index and not (index.isdecimal() and len(index) <= 9):
        raise _gone()
    return uid, index or None


def _gone() -> UsageError:
    return UsageError("The page token names a place that is gone; ask again without one.")
