"""IAM policies of jobs: stored and versioned, enforced by nobody yet."""

from __future__ import annotations

from base64 import b64encode

from jobrunner.core.records import NO_POLICY_ETAG, Policy, Scope
from jobrunner.ports import Ids, Store

NO_POLICY = Policy("{}", NO_POLICY_ETAG, 0)
"""What stands where none was ever set."""


class Policies:
    def __init__(self, store: Store, ids: Ids) -> None:
        self._store = store
        self._ids = ids

    def get(self, scope: Scope, job: str) -> Policy:
        """Raises NotFound without the job."""
        return self._store.get_policy(scope, f"jobs/{job}") or NO_POLICY

    def set(
        self, scope: Scope, job: str, document: str, *, version: int = 1, etag: str | None = None
    ) -> Policy:
        """Stores ``document`` (JSON text without etag and version) under a new etag. ``etag`` is
        the one that the caller has read: Conflict if it is not the current one; ``None`` and the
        empty one overwrite. Raises NotFound without the job."""
        policy = Policy(document, self._etag(), version)
        return self._store.set_policy(scope, f"jobs/{job}", policy, expect_etag=etag or None)

    def _etag(self) -> str:
        """In the form that clients know: eight bytes in base64, ``BwXhqDlhBns=``."""
        raw = bytes.fromhex(self._ids.uid().replace("-", ""))
        return b64encode(b"\x07" + raw[-7:]).decode()
