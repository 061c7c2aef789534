"""IAM policies, the same for every resource that has one: what a caller may write, and is shown.

They are kept, versioned and returned; who may call what is said by the roles of tokens.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from jobrunner.core.documents import Document, Node, filled
from jobrunner.core.params import invalid
from jobrunner.core.problems import Problems
from jobrunner.core.records import NO_POLICY_ETAG, Policy
from jobrunner.errors import Conflict, InvalidSpec

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


def shown_policy(policy: Policy | None) -> Document:
    """As clients see it; ``None`` where none was ever set."""
    if policy is None:
        return {"etag": NO_POLICY_ETAG}
    document = json.loads(policy.document)
    return {**filled(version=policy.version), "etag": policy.etag, **document}


def changed_policy(stored: Policy | None, body: object, name: str, seed: str) -> Policy:
    """What a set request makes of ``stored``. ``name`` is the resource's, for messages; ``seed`` is
    an id that nobody has used before, so that no two policies bear the same etag. Raises
    InvalidSpec, and Conflict for an etag that is not the current one."""
    wanted, mask = read_order(body)
    current = NO_POLICY_ETAG if stored is None else stored.etag
    given = wanted.get("etag")
    if given is not None and given != current:
        raise Conflict(
            f"There were concurrent changes of the policy of '{name}': etag '{given}' was"
            f" specified but the current one is '{current}'. Read it again, and repeat the"
            " change."
        )
    etag = base64.b64encode(hashlib.sha256(seed.encode()).digest()[:9])
    return merged(stored, wanted, mask, etag.decode())


def asked_permissions(body: object) -> tuple[str, ...]:
    """Those of a test request. Raises InvalidSpec."""
    problems = Problems()
    root = Node(body, "", problems)
    asked = root.texts("permissions")
    root.skip("resource")
    root.end()
    for place, permission in enumerate(asked):
        if "*" in permission:
            problems.add(
                f"permissions[{place}]", f"'{permission[:100]}' holds a '*'; write them out"
            )
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return asked


def check_version(version: int, field: str = "options.requestedPolicyVersion") -> None:
    if version not in VERSIONS:
        raise invalid(field, f"'{version}' is not a version; allowed: 0, 1, 3")


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
    data = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
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
