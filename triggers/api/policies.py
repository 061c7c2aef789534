"""``getIamPolicy``, ``setIamPolicy`` and ``testIamPermissions`` of whatever has a uid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jobrunner.calls import Answer, Call, Role
from jobrunner.core.documents import Node, filled
from jobrunner.core.params import whole
from jobrunner.core.policies import asked_permissions, check_version, shown_policy
from jobrunner.core.problems import Problems
from jobrunner.core.records import Policy
from jobrunner.errors import InvalidSpec, NotFound
from jobrunner.ports import Commit
from triggers.service.policies import Policies

REQUESTED = "requestedPolicyVersion"


@dataclass(frozen=True, slots=True)
class PolicyMethods:
    """``owner`` finds the uid and the short name of what a call is about; it raises NotFound.
    ``permissions`` says which role holds what; others nobody holds."""

    policies: Policies
    commit: Commit
    owner: Callable[[Call], tuple[str, str]]
    permissions: Mapping[str, Role]

    async def get(self, call: Call) -> Answer:
        """The version comes in the query or in the body."""
        check_version(whole(call.params, f"options.{REQUESTED}", 0))
        problems = Problems()
        root = Node(call.body, "", problems)
        options = root.node("options")
        version = options.whole(REQUESTED)
        options.end()
        root.skip("resource")
        root.end()
        if problems.violations:
            raise InvalidSpec(problems.violations)
        check_version(version or 0)
        uid, _ = self.owner(call)
        return Answer(shown_policy(self.policies.get(uid)))

    async def put(self, call: Call) -> Answer:
        def work() -> Policy:
            uid, name = self.owner(call)
            return self.policies.set(uid, name, call.body)

        return Answer(shown_policy(await self.commit(work)))

    async def test(self, call: Call) -> Answer:
        """What the caller's role holds; nothing on what is not there."""
        asked = asked_permissions(call.body)
        try:
            self.owner(call)
        except NotFound:
            return Answer({})
        role = call.principal.role
        nobody = max(Role) + 1
        held = [one for one in asked if role >= self.permissions.get(one, nobody)]
        return Answer(filled(permissions=held))
