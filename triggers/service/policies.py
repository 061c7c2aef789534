"""IAM policies of queues and triggers: kept and versioned, as :mod:`jobrunner.core.policies` says.

What writes is called inside a transaction.
"""

from __future__ import annotations

from jobrunner.core.policies import changed_policy
from jobrunner.core.records import NO_POLICY_ETAG, Policy
from jobrunner.ports import Ids
from triggers.ports import PolicyStore


class Policies:
    def __init__(self, store: PolicyStore, ids: Ids) -> None:
        self._store = store
        self._ids = ids

    def get(self, owner: str) -> Policy | None:
        """``owner`` is the uid of what has the policy. ``None`` if none was ever set."""
        return self._store.get(owner)

    def set(self, owner: str, name: str, body: object) -> Policy:
        """What the set request ``body`` makes of it; ``name`` is for messages. Raises InvalidSpec,
        and Conflict for an etag that is not the current one."""
        stored = self._store.get(owner)
        policy = changed_policy(stored, body, name, self._ids.uid())
        current = NO_POLICY_ETAG if stored is None else stored.etag
        self._store.put(owner, policy, expect_etag=current)
        return policy
