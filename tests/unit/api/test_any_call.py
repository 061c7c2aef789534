"""Whatever a caller sends, it is answered, or refused with an error of the table."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.api.tables import all_methods
from jobrunner.api.v1 import job_to_v1
from jobrunner.calls import Call, Method, Principal
from jobrunner.core.records import Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.errors import JobrunnerError
from tests.support.control import Control

SPEC = JobSpec(
    template=ExecutionTemplate(template=TaskTemplate(containers=(Container(command=("true",)),)))
)
KEYS = st.sampled_from(
    ["metadata", "spec", "template", "name", "namespace", "labels", "annotations", "containers",
     "image", "env", "value", "overrides", "containerOverrides", "args", "taskCount", "policy",
     "bindings", "role", "members", "etag", "updateMask", "permissions", "filter", "orderBy",
     "pageSize", "pageToken", "resourceNames", "serviceIds", "timeout", "validateOnly", "kind",
     "apiVersion", "status", "resourceVersion", "volumes", "secret", "items", "condition"]
)  # fmt: skip
TEXTS = st.text(max_size=8) | st.sampled_from(
    ["nightly", "local", "projects/local", "run.googleapis.com/v1", "Job", "1", "ACAB", "severity=",
     "timestamp desc", "bindings", "a\0b", "\ud800", "-", "9" * 25]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | TEXTS, inner, max_size=4),
    max_leaves=12,
)
PARAMS = st.fixed_dictionaries(
    {
        name: st.sampled_from([usual]) | TEXTS
        for name, usual in {
            "namespace": "local",
            "project": "local",
            "location": "us-central1",
            "job": "nightly",
            "execution": "nightly-a",
            "task": "nightly-a-task0",
            "operation": "o",
            "service": "run.googleapis.com",
        }.items()
    },
    optional=dict.fromkeys(
        ["limit", "continue", "labelSelector", "pageSize", "pageToken", "filter", "jobId",
         "validateOnly", "etag", "options.requestedPolicyVersion"],
        TEXTS,
    ),
)  # fmt: skip


def all_of(control: Control) -> list[Method]:
    # These wait for something.
    slow = ("wait", "cancel", "delete")
    return [one for one in all_methods(control.parts) if not one.name.endswith(slow)]


async def answered(method: Method, call: Call) -> int:
    """The status; 0 for an error of the table."""
    try:
        return (await method.handler(call)).status
    except JobrunnerError:
        return 0


COUNT = 40


@settings(max_examples=100)
@given(st.integers(0, COUNT - 1), PARAMS, JSON, st.sampled_from([None, "us-central1", "x y"]))
def test_no_call_breaks_a_method(
    number: int, params: dict[str, str], body: Any, region: str | None
) -> None:
    control = Control()
    try:
        control.service.jobs.create(Scope(), "nightly", SPEC)
        methods = all_of(control)
        call = Call(params=params, body=body, region=region, principal=Principal("p"))
        assert asyncio.run(answered(methods[number % len(methods)], call)) < 500
    finally:
        control.close()


@settings(max_examples=60)
@given(st.data())
def test_a_document_with_one_part_replaced_is_stored_or_refused(data: st.DataObject) -> None:
    control = Control()
    try:
        job = control.service.jobs.create(Scope(), "nightly", SPEC)
        document: Any = json.loads(json.dumps(job_to_v1(job)))
        node = document
        while True:
            keys = range(len(node)) if isinstance(node, list) else sorted(node)
            key = data.draw(st.sampled_from(list(keys)))
            if not isinstance(node[key], (dict, list)) or not node[key] or data.draw(st.booleans()):
                break
            node = node[key]
        node[key] = data.draw(JSON)
        for method in all_methods(control.parts):
            if method.name in ("run.jobs.create", "run.jobs.update") and "/apis/" in method.path:
                params = {"namespace": "local", "job": "nightly"}
                call = Call(params=params, body=document, region="us-central1")
                status = asyncio.run(answered(method, call))
                assert status in (0, 200)
                if status:
                    assert asyncio.run(answered(reading(control), call)) == 200
    finally:
        control.close()


def reading(control: Control) -> Method:
    methods = all_methods(control.parts)
    return next(one for one in methods if one.name == "run.jobs.list" and "/apis/" in one.path)
