"""IAM policies of jobs, the same in both versions: stored, versioned and returned, not enforced.

Who may call what is said by the roles of tokens (:class:`jobrunner.calls.Role`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jobrunner.api.roles import MAY_OVERRIDE, RUN_WITH_OVERRIDES
from jobrunner.api.shapes import SET_POLICY, TEST_PERMISSIONS
from jobrunner.api.v1.answers import answer, missing
from jobrunner.calls import Answer, Call, Handler, Method, Role
from jobrunner.core.documents import Document, Node, filled
from jobrunner.core.params import invalid, whole
from jobrunner.core.problems import Problems
from jobrunner.core.records import NO_POLICY_ETAG, Policy, Scope
from jobrunner.errors import Conflict, InvalidSpec, NotFound
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places

VERSIONS = (0, 1, 3)
CONDITIONS_SINCE = 3
MAX_BINDINGS = 1500
MAX_MEMBERS = 1500

_ROLE = re.compile(r"((projects|organizations)/[^/\s]{1,63}/)?roles/[A-Za-z0-9._]{1,100}")
_MEMBER = re.compile(
    r"allUsers|allAuthenticatedUsers"
    r"|(deleted:)?(user|serviceAccount|group):[^\s@]+@[^\s@]+"
    r"|domain:[^\s:]+|project(Owner|Editor|Viewer):[^\s:]+"
    r"|(deleted:)?principal(Set)?://\S+"
    r"|serviceAccount:\S+\.svc\.id\.goog\[\S+\]"
)
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
        _check_version(whole(call.params, "options.requestedPolicyVersion", 0))
        return _answer(self._stored(scope, name))

    async def put(self, call: Call) -> Answer:
        scope, name = self._of(call)
        wanted, mask = read_order(call.body)
        # From the id, which nobody has used before: no two policies bear the same etag.
        etag = base64.b64encode(hashlib.sha256(self._parts.ids.uid().encode()).digest()[:9])

        def work() -> Policy:
            stored = self._stored(scope, name)
            current = NO_POLICY_ETAG if stored is None else stored.etag
            given = wanted.get("etag")
            if given is not None and given != current:
                raise Conflict(
                    f"There were concurrent changes of the policy of '{name}': etag '{given}' was"
                    f" specified but the current one is '{current}'. Read it again, and repeat the"
                    " change."
                )
            policy = merged(stored, wanted, mask, etag.decode())
            return self._store.set_policy(scope, f"jobs/{name}", policy, expect_etag=current)

        return _answer(await self._parts.commit(work))

    async def test(self, call: Call) -> Answer:
        """What the caller's role holds; nothing on a job that is not there."""
        scope, name = self._of(call)
        problems = Problems()
        body = Node(call.body, "", problems)
        asked = body.texts("permissions")
        body.skip("resource")
        body.end()
        for place, permission in enumerate(asked):
            if "*" in permission:
                problems.add(
                    f"permissions[{place}]", f"'{permission[:100]}' holds a '*'; write them out"
                )
        if problems.violations:
            raise InvalidSpec(problems.violations)
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


def _answer(policy: Policy | None) -> Answer:
    if policy is None:
        return answer({"etag": NO_POLICY_ETAG})
    shown = json.loads(policy.document)
    return answer({**filled(version=policy.version), "etag": policy.etag, **shown})


def merged(stored: Policy | None, wanted: Document, mask: frozenset[str], etag: str) -> Policy:
    """``stored`` with the members of ``wanted`` that ``mask`` names."""
    document: dict[str, Any] = {} if stored is None else json.loads(stored.document)
    version = 1 if stored is None else stored.version
    for member in ("bindings", "auditConfigs"):
        if member in mask:
            document.pop(member, None)
            if wanted.get(member):
                document[member] = wanted[member]
    given = wanted.get("version")
    if "version" in mask and isinstance(given, int):
        version = given or 1
    conditional = any("condition" in one for one in document.get("bindings", ()))
    if conditional and version < CONDITIONS_SINCE:
        raise invalid("policy.version", f"{version} has no conditions; write 3")
    return Policy(json.dumps(document), etag, version)


# ------------------------------------------------------------------------------------- reading

_MEMBERS = ("bindings", "etag", "version", "auditConfigs")


def read_order(body: object) -> tuple[Document, frozenset[str]]:
    """The policy of a set request with its etag in one form, and the members that are set. Raises
    InvalidSpec with all that is wrong."""
    problems = Problems()
    root = Node(body, "", problems)
    policy = root.node("policy")
    if not policy.present:
        problems.add("policy", "it is missing")
    wanted: Document = {
        "bindings": _bindings(policy),
        "etag": _etag(policy),
        "version": policy.whole("version"),
        "auditConfigs": policy.raw("auditConfigs"),
    }
    if wanted["version"] is not None and wanted["version"] not in VERSIONS:
        problems.add("policy.version", f"{wanted['version']} is not a version; allowed: 0, 1, 3")
    if not isinstance(wanted["auditConfigs"], (list, type(None))):
        policy.wrong("policy.auditConfigs", wanted["auditConfigs"], "a list")
    policy.end()
    mask = _mask(root)
    root.skip("resource")
    root.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return wanted, mask


def _mask(root: Node) -> frozenset[str]:
    """Names in either spelling, separated by commas; without one, all but the audit settings."""
    value = root.raw("updateMask")
    if isinstance(value, Mapping):
        # As gRPC's JSON has it in some libraries.
        value = ",".join(str(path) for path in value.get("paths") or ())
    if value is None or value == "":
        return frozenset(["bindings", "etag", "version"])
    if not isinstance(value, str):
        root.wrong("updateMask", value, "text")
        return frozenset()
    names = [name.strip().replace("audit_configs", "auditConfigs") for name in value.split(",")]
    for name in names:
        if name not in _MEMBERS:
            root.problems.add(
                "updateMask",
                f"'{name[:60]}' is not a member of a policy; allowed: {', '.join(_MEMBERS)}",
            )
    return frozenset(names)


def _etag(policy: Node) -> str | None:
    text = policy.optional_text("etag")
    if not text:
        return None
    try:
        return canonical(text)
    except ValueError:
        policy.wrong("policy.etag", text, "an etag, which is base64")
        return None


def canonical(etag: str) -> str:
    """The same bytes in the standard alphabet: clients send either. Raises ValueError."""
    plain = etag.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    return base64.b64encode(data).decode()


def _bindings(policy: Node) -> list[Document]:
    """One for each role and condition; a binding without members is none."""
    found: dict[str, Document] = {}
    nodes = policy.nodes("bindings")
    if len(nodes) > MAX_BINDINGS:
        policy.problems.add(
            "policy.bindings", f"there are {len(nodes)}; allowed: at most {MAX_BINDINGS}"
        )
        return []
    for node in nodes:
        role, members, condition = node.text("role"), node.texts("members"), _condition(node)
        node.skip("bindingId")
        node.end()
        if not _ROLE.fullmatch(role):
            node.wrong(node.at("role"), role, "a role; write it as roles/run.invoker")
        for place, member in enumerate(members):
            if not _MEMBER.fullmatch(member):
                node.wrong(
                    f"{node.at('members')}[{place}]",
                    member,
                    "a member; write it as user:EMAIL, serviceAccount:EMAIL, group:EMAIL,"
                    " domain:DOMAIN, allUsers or allAuthenticatedUsers",
                )
        if not members:
            continue
        key = json.dumps([role, condition], sort_keys=True)
        binding = found.setdefault(
            key, {"role": role, "members": [], **filled(condition=condition)}
        )
        known = binding["members"]
        assert isinstance(known, list)
        known += [one for one in dict.fromkeys(members) if one not in set(known)]
        if len(known) > MAX_MEMBERS:
            node.problems.add(
                node.at("members"), f"there are {len(known)}; allowed: at most {MAX_MEMBERS}"
            )
    return list(found.values())


def _condition(binding: Node) -> Document:
    node = binding.node("condition")
    names = ("title", "description", "expression", "location")
    condition = filled(**{name: node.text(name) for name in names})
    if node.present and "expression" not in condition:
        node.problems.add(node.at("expression"), "it is missing")
    node.end()
    return condition


def _check_version(version: int) -> None:
    if version not in VERSIONS:
        raise invalid(
            "options.requestedPolicyVersion", f"'{version}' is not a version; allowed: 0, 1, 3"
        )
