"""What the bodies of requests look like, as JSON schemas made from the list of fields. Pure.

The schemas help people and programs to write a request; what is right is decided by the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from jobrunner.core.fields import FIELDS, Field, Standing

Schema = dict[str, Any]

V1_JOB, V2_JOB = "v1.Job", "v2.Job"
V1_RUN, V2_RUN = "v1.RunJobRequest", "v2.RunJobRequest"
V2_CANCEL, WAIT = "v2.CancelExecutionRequest", "WaitOperationRequest"
SET_POLICY, TEST_PERMISSIONS = "SetIamPolicyRequest", "TestIamPermissionsRequest"
LIST_ENTRIES = "ListLogEntriesRequest"

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "integer"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_MAP: Schema = {"type": "object", "additionalProperties": _TEXT}

_VARIABLE: Schema = {"type": "object", "properties": {"name": _TEXT, "value": _TEXT}}

# By the last name of a path; everything else that is no object or list is text.
_LEAVES: dict[str, Schema] = {
    **dict.fromkeys(("labels", "annotations", "limits", "requests"), _MAP),
    **dict.fromkeys(("command", "args", "instances"), _TEXTS),
    **dict.fromkeys(("parallelism", "taskCount", "maxRetries", "mode", "defaultMode"), _NUMBER),
    **dict.fromkeys(("optional", "readOnly", "clearArgs"), _FLAG),
    "env": {"type": "array", "items": _VARIABLE},
    "securityContext": {"type": "object"},
    "networkInterfaces": {"type": "array", "items": {"type": "object"}},
    "timeout": {"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,9})?s$"},
}
_PART = re.compile(r"^(\w+)(\[\])?$")


def schemas() -> dict[str, Schema]:
    """By name."""
    job_v1 = _of(path for field in _written("Job") if (path := field.v1))
    job_v1["properties"] |= {"apiVersion": _TEXT, "kind": _TEXT}
    job_v2 = _of(path for field in _written("Job") if (path := field.v2))
    job_v2["properties"] |= {"etag": _TEXT}
    run_v2 = _of(field.v2 for field in _written("RunJobRequest"))
    run_v2["properties"] |= {"validateOnly": _FLAG, "etag": _TEXT}
    policy = _object(
        version=_NUMBER,
        etag=_TEXT,
        bindings={"type": "array", "items": _object(role=_TEXT, members=_TEXTS)},
    )
    return {
        V1_JOB: job_v1,
        V2_JOB: job_v2,
        V1_RUN: _of(field.v1 for field in _written("RunJobRequest")),
        V2_RUN: run_v2,
        V2_CANCEL: _object(validateOnly=_FLAG, etag=_TEXT),
        WAIT: _object(timeout=_LEAVES["timeout"]),
        SET_POLICY: _object(policy=policy, updateMask=_TEXT),
        TEST_PERMISSIONS: _object(permissions=_TEXTS),
        LIST_ENTRIES: _object(
            resourceNames=_TEXTS, filter=_TEXT, orderBy=_TEXT, pageSize=_NUMBER, pageToken=_TEXT
        ),
    }


def _written(resource: str) -> Iterator[Field]:
    for field in FIELDS:
        refused = field.standing is Standing.REFUSED
        if field.resource == resource and not refused and not field.output:
            yield field


def _of(paths: Iterator[str]) -> Schema:
    """One object with all of ``paths`` in it. Single annotations and places of a list are left out:
    they are parts of what is there."""
    root = _object()
    for path in paths:
        parts = [_PART.match(part) for part in path.split(".")]
        if all(parts):
            _grow(root, [(part[1], bool(part[2])) for part in parts if part])
    return root


def _grow(schema: Schema, parts: list[tuple[str, bool]]) -> None:
    (name, listed), *rest = parts
    properties = schema["properties"]
    if not rest:
        properties.setdefault(name, deepcopy(_LEAVES.get(name, _TEXT)))
        return
    known = properties.get(name)
    if known is None or "properties" not in known.get("items", known):
        known = properties[name] = {"type": "array", "items": _object()} if listed else _object()
    _grow(known["items"] if listed else known, rest)


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}
