"""Jobs and executions that were read lately: what has not changed is not built anew, and is the
very same value, so that a face may keep what it made of it."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import Execution, Job
from jobrunner.lib.database import Row
from jobrunner.store.documents import LONGEST_REMEMBERED
from jobrunner.store.rows import EXECUTION, execution_of, job_of

MOST_JOBS = 512
MOST_EXECUTIONS = 2048
LARGEST_PAGE = 500
"""Larger ones are read without looking here, and leave nothing behind."""

MARK = "uid resource_version lease_owner lease_epoch lease_until"
"""What tells a committed execution from every other: each change of it raises the version, but for
those of its lease."""

_PLACES = [EXECUTION.split().index(name) for name in MARK.split()]
_TEMPLATE = EXECUTION.split().index("template")


class Recall:
    """Belongs to one store. Executions are recalled and remembered outside of transactions that
    write: what is undone there must not be known by its version."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[Row, Job]] = {}
        self._executions: dict[str, tuple[Row, Execution]] = {}

    def job(self, row: Row) -> Job:
        """From a row as :func:`jobrunner.store.rows.job_of` takes it; all of it is compared."""
        known = self._jobs.get(row[0])
        if known is not None and known[0] == row:
            return known[1]
        job = job_of(row)
        if len(row[4]) <= LONGEST_REMEMBERED:
            if len(self._jobs) >= MOST_JOBS:
                self._jobs.clear()
            self._jobs[row[0]] = row, job
        return job

    def executions(self, marks: Sequence[Row]) -> list[Execution] | None:
        """By the columns of :data:`MARK`; ``None`` unless all of them are known."""
        found = []
        for mark in marks:
            known = self._executions.get(mark[0])
            if known is None or known[0] != mark:
                return None
            found.append(known[1])
        return found

    def execution(self, row: Row) -> Execution:
        """From a row as :func:`jobrunner.store.rows.execution_of` takes it, the one that is known
        if it has not changed."""
        mark = tuple([row[place] for place in _PLACES])
        known = self._executions.get(row[0])
        if known is not None and known[0] == mark:
            return known[1]
        execution = execution_of(row)
        if len(row[_TEMPLATE]) <= LONGEST_REMEMBERED:
            if len(self._executions) >= MOST_EXECUTIONS:
                self._executions.clear()
            self._executions[row[0]] = mark, execution
        return execution
