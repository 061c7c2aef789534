"""Statements about IAM policies. Each runs inside the transaction of its caller."""

from __future__ import annotations

from jobrunner.core.records import NO_POLICY_ETAG, Policy, Scope
from jobrunner.errors import Conflict, NotFound
from jobrunner.lib.database import Session

_JOB = "SELECT uid FROM jobs WHERE project = ? AND region = ? AND name = ?"
_GET = "SELECT document, etag, version FROM policies WHERE job_uid = ?"
_NEW = (
    "INSERT INTO policies (job_uid, document, etag, version) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (job_uid) DO "
)
_CREATE = f"{_NEW}NOTHING"
_OVERWRITE = (
    f"{_NEW}UPDATE SET document = excluded.document, etag = excluded.etag,"
    " version = excluded.version"
)
_UPDATE = "UPDATE policies SET document = ?, etag = ?, version = ? WHERE job_uid = ? AND etag = ?"
_KIND = "jobs/"


def get(session: Session, scope: Scope, resource: str) -> Policy | None:
    row = session.execute(_GET, (_owner(session, scope, resource),)).fetchone()
    return None if row is None else Policy(*row)


def put(
    session: Session, scope: Scope, resource: str, policy: Policy, expect_etag: str | None
) -> Policy:
    job = _owner(session, scope, resource)
    values = (policy.document, policy.etag, policy.version)
    if expect_etag is None:
        session.execute(_OVERWRITE, (job, *values))
        return policy
    written = session.execute(_UPDATE, (*values, job, expect_etag)).rowcount
    if not written and expect_etag == NO_POLICY_ETAG:
        written = session.execute(_CREATE, (job, *values)).rowcount
    if not written:
        raise Conflict(
            f"The policy of {resource!r} was changed in the meantime (the etag {expect_etag!r} is"
            " not the current one).",
            hint="Read it again, and repeat the change.",
        )
    return policy


def _owner(session: Session, scope: Scope, resource: str) -> str:
    """The uid of the job that ``resource`` names."""
    row = None
    if resource.startswith(_KIND):
        row = session.execute(_JOB, (*scope, resource.removeprefix(_KIND))).fetchone()
    if row is None:
        raise NotFound(
            f"There is no resource {resource!r} in project {scope.project!r},"
            f" region {scope.region!r}."
        )
    return str(row[0])
