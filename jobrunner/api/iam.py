"""IAM policies of jobs, the same in both versions: stored, versioned and returned, not enforced.

The rules are in :mod:`jobrunner.core.policies`. Who may call what is said by the roles of tokens
(:class:`jobrunner.calls.Role`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobrunner.api.roles import MAY_OVERRIDE, RUN_WITH_OVERRIDES
from jobrunner.api.shapes import SET_POLICY, TEST_PERMISSIONS
from jobrunner.api.v1.answers import answer, missing
from jobrunner.calls import Answer, Call, Handler, Method, Role
from jobrunner.core.documents import filled
from jobrunner.core.params import whole
from jobrunner.core.policies import asked_permissions, changed_policy, check_version, shown_policy
from jobrunner.core.records import NO_POLICY_ETAG, Policy, Scope
from jobrunner.errors import NotFound
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places

_READING = ("get", "list", "getIamPolicy")
PERMISSIONS: Mapping[str, Role] = {
    **{f"run.jobs.{verb}": Role.VIEWER for verb in _READING},
    **{f"run.{what}.{verb}": Role.VIEWER for what in ("executions", "tasks", "operations")
       for verb in ("get", "list")},
    "run.jobs.run": Role.INVOKER,
    RUN_WITH_OVERRIDES: MAY_OVERRIDE,
    "run.executions.cancel": Role.INVOKER,
    "run.jobs.create": Role.ADMIN,
    "run.jobs.update": Role.ADMIN,
    "run.jobs.delete": Role.ADMIN,
    "run.jobs.setIamPolicy": Role.ADMIN,
    "run.executions.delete": Role.ADMIN,
    "run.operations.delete": Role.ADMIN,
    "iam.serviceAccounts.actAs": Role.ADMIN,
}  # fmt: skip
"""What each role holds; other permissions nobody holds."""


def methods(parts: Parts) -> Sequence[Method]:
    iam = _Iam(parts)
    found = []
    for version in ("v1", "v2"):
        job = f"/{version}/projects/{{project}}/locations/{{location}}/jobs/{{job}}"
        table: list[tuple[str, str, str, Handler, Role, str, str]] = [
            ("getIamPolicy", "GET", "run.jobs.getIamPolicy", iam.get, Role.VIEWER, "Shows", ""),
            (
                "setIamPolicy", "POST", "run.jobs.setIamPolicy", iam.put, Role.ADMIN, "Replaces",
                SET_POLICY,
            ),
            (
                "testIamPermissions", "POST", "run.jobs.get", iam.test, Role.VIEWER, "Tries",
                TEST_PERMISSIONS,
            ),
        ]  # fmt: skip
        for verb, http, name, handler, role, does, body in table:
            rpc = f"google.cloud.run.v2.Jobs/{verb[0].upper()}{verb[1:]}"
            found.append(
                Method(
                    name,
                    http,
                    f"{job}:{verb}",
                    handler,
                    role,
                    changes=handler == iam.put,
                    grpc=rpc if version == "v2" else "",
                    summary=f"{does} the policy of a job",
                    query=() if body else ("options.requestedPolicyVersion",),
                    body=body,
                )
            )
    return found


class _Iam:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.service.store
        self._places = Places(self._store)

    async def get(self, call: Call) -> Answer:
        scope, name = self._of(call)
        check_version(whole(call.params, "options.requestedPolicyVersion", 0))
        return answer(shown_policy(self._stored(scope, name)))

    async def put(self, call: Call) -> Answer:
        scope, name = self._of(call)
        seed = self._parts.ids.uid()

        def work() -> Policy:
            stored = self._stored(scope, name)
            current = NO_POLICY_ETAG if stored is None else stored.etag
            policy = changed_policy(stored, call.body, name, seed)
            return self._store.set_policy(scope, f"jobs/{name}", policy, expect_etag=current)

        return answer(shown_policy(await self._parts.commit(work)))

    async def test(self, call: Call) -> Answer:
        """What the caller's role holds; nothing on a job that is not there."""
        scope, name = self._of(call)
        asked = asked_permissions(call.body)
        role = call.principal.role
        there = self._parts.service.jobs.find(scope, name) is not None
        held = [one for one in asked if there and role >= PERMISSIONS.get(one, Role.ADMIN + 1)]
        return answer(filled(permissions=held))

    def _of(self, call: Call) -> tuple[Scope, str]:
        scope = self._places.scope(call.params["project"], call.params["location"])
        return scope, call.params["job"]

    def _stored(self, scope: Scope, name: str) -> Policy | None:
        try:
            return self._store.get_policy(scope, f"jobs/{name}")
        except NotFound:
            raise missing("JOB", name, scope) from None
