"""Whatever a call bears, a method of v2 answers it or says what is wrong with it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobrunner.api.errors import status_of
from jobrunner.api.v2 import job_from_v2
from jobrunner.api.v2.methods import methods
from jobrunner.calls import Answer, Call, Method
from jobrunner.core.records import Scope
from jobrunner.errors import JobrunnerError
from tests.support.control import Control
from tests.unit.api.v2.test_documents import minimal

PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
VARIABLES = {
    "project": ["local", "elsewhere", "1000000000001", "12", "-", "a b"],
    "location": ["us-central1", "-", "us_central1"],
    "job": ["nightly", "other", "-", "No"],
    "execution": ["nightly-t1", "-", "nightly-t2"],
    "task": ["nightly-t1-task0", "nightly-t1-task99", "-task", "nightly-t1-task00"],
    "operation": ["kept", "lost"],
}
QUERY = ["pageSize", "pageToken", "showDeleted", "validateOnly", "allowMissing", "jobId", "etag",
         "filter", "updateMask"]  # fmt: skip
VALUES = [
    "",
    "true",
    "false",
    "-1",
    "1",
    "5",
    "99999999999999999999",
    "W10",
    "done:true",
    "nightly",
]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | PRINTABLE
KEYS = st.sampled_from(
    ["template", "containers", "overrides", "taskCount", "timeout", "labels", "etag", "args",
     "validateOnly", "containerOverrides", "env", "name", "runExecutionToken", "launchStage"]
) | PRINTABLE  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture(scope="module")
def control() -> Iterator[Control]:
    opened = Control()
    document = {**minimal(), "startExecutionToken": "t1"}
    opened.service.jobs.create(Scope(), "nightly", job_from_v2("nightly", document).spec)
    yield opened
    opened.close()


def variables(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


async def answer(method: Method, call: Call) -> Answer | JobrunnerError:
    try:
        return await method.handler(call)
    except JobrunnerError as error:
        return error


@settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_call_is_answered_or_refused(control: Control, data: Any) -> None:
    table = [m for m in methods(control.parts) if m.name != "run.operations.wait"]
    method = data.draw(st.sampled_from(table))
    params = {
        name: data.draw(st.sampled_from(VARIABLES[name]) | PRINTABLE)
        for name in variables(method.path)
    }
    chosen = data.draw(st.lists(st.sampled_from(QUERY), max_size=3, unique=True))
    params |= {name: data.draw(st.sampled_from(VALUES) | PRINTABLE) for name in chosen}
    body = data.draw(st.just(minimal()) | JSON)
    said = asyncio.run(answer(method, Call(params=params, body=body)))
    if isinstance(said, Answer):
        assert isinstance(json.loads(said.body), dict)
    else:
        assert status_of(said).http < 500, said
        assert said.message
