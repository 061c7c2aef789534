"""The store of IAM policies: each method is one transaction, or a part of one."""

from __future__ import annotations

from jobrunner.core.records import NO_POLICY_ETAG, Policy
from jobrunner.errors import Conflict
from jobrunner.lib.database import Session
from jobrunner.transactions import Transactions

_GET = "SELECT document, etag, version FROM resource_policies WHERE owner = ?"
_CREATE = (
    "INSERT INTO resource_policies (owner, document, etag, version) VALUES (?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_UPDATE = (
    "UPDATE resource_policies SET document = ?, etag = ?, version = ? WHERE owner = ? AND etag = ?"
)
DELETE = "DELETE FROM resource_policies WHERE owner = ?"
"""For the stores of what has a policy, which goes with it."""


class SqlPolicies(Transactions):
    """See :class:`triggers.ports.PolicyStore`."""

    def get(self, owner: str) -> Policy | None:
        def work(session: Session) -> Policy | None:
            row = session.execute(_GET, (owner,)).fetchone()
            return None if row is None else Policy(*row)

        return self._read(work)

    def put(self, owner: str, policy: Policy, *, expect_etag: str) -> None:
        values = (policy.document, policy.etag, policy.version)

        def work(session: Session) -> int:
            written = session.execute(_UPDATE, (*values, owner, expect_etag)).rowcount
            if not written and expect_etag == NO_POLICY_ETAG:
                written = session.execute(_CREATE, (owner, *values)).rowcount
            return written

        if not self._write(work):
            raise Conflict(
                f"The policy was changed in the meantime (the etag '{expect_etag}' is not the"
                " current one).",
                hint="Read it again, and repeat the change.",
            )

    def delete(self, owner: str) -> None:
        self._write(lambda session: session.execute(DELETE, (owner,)))
