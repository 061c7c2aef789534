"""Statements about jobs. Each function runs inside the transaction of its caller."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import Job, Scope
from jobrunner.errors import AlreadyExists, Conflict, NotFound
from jobrunner.lib.database import Session
from jobrunner.ports import Page
from jobrunner.store.documents import encode
from jobrunner.store.paging import after, around, bad_token, tail
from jobrunner.store.recall import LARGEST_PAGE, Recall
from jobrunner.store.rows import JOB, LATEST, columns, job_of, job_row, marks

_INSERT = (
    f"INSERT INTO jobs ({columns(JOB)}) VALUES ({marks(JOB)})"
    " ON CONFLICT (project, region, name) DO NOTHING"
)
_REPLACE = (
    "UPDATE jobs SET spec = ?, generation = ?, resource_version = ?, updated_at = ?,"
    " last_modifier = ?, hidden = ?"
    " WHERE project = ? AND region = ? AND name = ? AND uid = ? AND resource_version = ?"
)
# The latest execution is looked up, not copied: it is true at every moment.
_SELECT = (
    f"SELECT {columns(JOB, 'jobs')}, {columns(LATEST, 'latest')}"
    " FROM jobs LEFT JOIN executions AS latest ON latest.uid = jobs.latest_uid"
)
_BY_NAME = f"{_SELECT} WHERE jobs.project = ? AND jobs.region = ? AND jobs.name = ?"
_NAMES = "SELECT name FROM jobs WHERE project = ? AND region = ? AND NOT hidden ORDER BY name"
# From region to region: each step is one look into the index, however many jobs lie between.
_REGIONS = (
    "WITH RECURSIVE places (region) AS (SELECT MIN(region) FROM jobs WHERE project = ?"
    " UNION ALL SELECT (SELECT MIN(region) FROM jobs"
    " WHERE project = ? AND region > places.region) FROM places WHERE region IS NOT NULL)"
    " SELECT region FROM places WHERE region IS NOT NULL"
)
_DELETE_EXECUTIONS = "DELETE FROM executions WHERE job_uid = ?"
_DELETE = "DELETE FROM jobs WHERE uid = ?"


def create(session: Session, job: Job) -> None:
    if not session.execute(_INSERT, job_row(job)).rowcount:
        raise AlreadyExists(f"Job {job.name!r} already exists in {_place(job.scope)}.")


def replace(session: Session, job: Job, expect_version: int) -> None:
    if job.resource_version <= expect_version:
        # Two writers that expect the same version could both win.
        raise ValueError(f"resource version {job.resource_version} must be above {expect_version}")
    changed = session.execute(
        _REPLACE,
        (
            encode(job.spec),
            job.generation,
            job.resource_version,
            job.updated_at,
            job.last_modifier,
            job.hidden,
            *job.scope,
            job.name,
            job.uid,
            expect_version,
        ),
    ).rowcount
    if not changed:
        stored = get(session, job.scope, job.name)
        raise Conflict(
            f"Job {job.name!r} was changed by {stored.last_modifier or 'somebody else'} in the"
            f" meantime (version {stored.resource_version}, expected {expect_version}).",
            hint="Read it again, and repeat the change.",
        )


def get(session: Session, scope: Scope, name: str, recall: Recall | None = None) -> Job:
    row = session.execute(_BY_NAME, (*scope, name)).fetchone()
    if row is None:
        raise NotFound(f"There is no job named {name!r} in {_place(scope)}.")
    return job_of(row) if recall is None else recall.job(row)


def listing(
    session: Session,
    scope: Scope | None,
    hidden: bool,
    page: Page | None,
    recall: Recall | None = None,
) -> Sequence[Job]:
    where: list[str] = [] if hidden else ["NOT jobs.hidden"]
    params: list[object] = []
    if scope is not None:
        where.append("jobs.project = ? AND jobs.region = ?")
        params += scope
    token = after(page)
    if token is not None and scope is not None:
        where.append("jobs.name > ?")
        params.append(token)
    elif token is not None:
        key = token.split("/")
        if len(key) != 3:
            raise bad_token(token, "PROJECT/REGION/NAME of the last job")
        where.append("(jobs.project, jobs.region, jobs.name) > (?, ?, ?)")
        params += key
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    limit, count = tail(page)
    rows = session.execute(
        f"{_SELECT}{condition} ORDER BY jobs.project, jobs.region, jobs.name{limit}",
        (*params, *count),
    )
    short = page is not None and page.limit <= LARGEST_PAGE
    make = recall.job if recall is not None and short else job_of
    return [make(row) for row in rows]


def regions(session: Session, project: str) -> Sequence[str]:
    return [row[0] for row in session.execute(_REGIONS, (project, project))]


def names(session: Session, scope: Scope, near: str | None) -> Sequence[str]:
    if near is None:
        return [row[0] for row in session.execute(_NAMES, scope)]
    return around(session, "SELECT name FROM jobs", scope, near, " AND NOT hidden")


def delete(session: Session, scope: Scope, name: str) -> Job:
    job = get(session, scope, name)
    # Executions first, as everywhere: row locks are taken in one order.
    session.execute(_DELETE_EXECUTIONS, (job.uid,))
    session.execute(_DELETE, (job.uid,))
    return job


def _place(scope: Scope) -> str:
    return f"project {scope.project!r}, region {scope.region!r}"
