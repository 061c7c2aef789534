"""IAM policies of jobs, over both versions."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.api.iam import methods
from jobrunner.calls import Principal, Role
from jobrunner.core.policies import canonical
from jobrunner.core.records import Policy, Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from tests.support.control import Control
from tests.support.face import Face, Said

JOB = "projects/local/locations/us-central1/jobs/nightly"
MISSING = "projects/local/locations/us-central1/jobs/x"
BINDING = {"role": "roles/run.invoker", "members": ["user:ada@example.com"]}
SPEC = JobSpec(
    template=ExecutionTemplate(template=TaskTemplate(containers=(Container(command=("true",)),)))
)


@pytest.fixture
def control() -> Iterator[Control]:
    opened = Control()
    opened.service.jobs.create(Scope(), "nightly", SPEC)
    yield opened
    opened.close()


@pytest.fixture
def face(control: Control) -> Face:
    return Face(methods(control.parts), region=None)


async def put(face: Face, policy: Any, version: str = "v1", **more: Any) -> Said:
    return await face.ask("POST", f"/{version}/{JOB}:setIamPolicy", {"policy": policy, **more})


async def get(face: Face, version: str = "v1") -> Any:
    said = await face.ask("GET", f"/{version}/{JOB}:getIamPolicy?options.requestedPolicyVersion=3")
    assert said.status == 200
    return said.body


async def test_a_policy_that_was_never_set_has_an_etag_and_nothing_else(face: Face) -> None:
    assert await get(face) == {"etag": "ACAB"}


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_policy_is_stored_under_a_new_etag_each_time(face: Face, version: str) -> None:
    first = (await put(face, {"bindings": [BINDING], "etag": "ACAB"}, version)).body
    assert first == {"version": 1, "etag": first["etag"], "bindings": [BINDING]}
    assert await get(face, "v1") == await get(face, "v2") == first
    second = (await put(face, {"etag": first["etag"]}, version)).body
    assert second["etag"] not in ("ACAB", first["etag"])
    assert "bindings" not in second


async def test_a_stale_etag_is_refused_and_none_overwrites(face: Face) -> None:
    first = (await put(face, {"bindings": [BINDING]})).body
    stale = await put(face, {"etag": "ACAB"})
    assert stale.error[:2] == (409, "ABORTED")
    assert first["etag"] in stale.message
    assert await get(face) == first
    assert (await put(face, {})).status == 200


async def test_an_etag_may_come_back_in_the_other_alphabet(face: Face, control: Control) -> None:
    control.store.set_policy(Scope(), "jobs/nightly", Policy("{}", "l/KyrQ+H"), expect_etag=None)
    assert (await put(face, {"etag": "l_KyrQ-H"})).status == 200


@given(st.binary(max_size=20))
def test_both_alphabets_mean_the_same_bytes(data: bytes) -> None:
    standard = base64.b64encode(data).decode()
    for form in (standard, base64.urlsafe_b64encode(data).decode(), standard.rstrip("=")):
        assert canonical(form) == standard


async def test_the_mask_says_what_is_replaced(face: Face) -> None:
    audit = [{"service": "run.googleapis.com"}]
    policy = {"bindings": [BINDING], "auditConfigs": audit, "version": 3}
    kept = (await put(face, policy)).body
    assert kept == {"version": 3, "etag": kept["etag"], "bindings": [BINDING]}
    both = (await put(face, {"auditConfigs": audit}, updateMask="auditConfigs,etag")).body
    assert (both["bindings"], both["auditConfigs"]) == ([BINDING], audit)
    none = (await put(face, {}, updateMask="bindings,etag,version")).body
    assert "bindings" not in none
    assert none["auditConfigs"] == audit
    wrong = await put(face, {}, updateMask="bindings,colour")
    assert wrong.message.startswith("updateMask: 'colour' is not a member of a policy")


async def test_bindings_of_one_role_are_one_and_empty_ones_are_none(face: Face) -> None:
    policy = {
        "bindings": [
            BINDING,
            {"role": "roles/run.viewer", "members": []},
            {"role": "roles/run.invoker", "members": ["user:ada@example.com", "allUsers"]},
        ]
    }
    assert (await put(face, policy)).body["bindings"] == [
        {"role": "roles/run.invoker", "members": ["user:ada@example.com", "allUsers"]}
    ]


async def test_conditions_need_version_3(face: Face) -> None:
    condition = {"title": "t", "expression": "true"}
    policy = {"bindings": [{**BINDING, "condition": condition}]}
    assert (await put(face, policy)).message == "policy.version: 1 has no conditions; write 3"
    stored = (await put(face, {**policy, "version": 3})).body
    assert stored["bindings"][0]["condition"] == condition


async def test_any_text_in_a_condition_can_be_stored(face: Face) -> None:
    for text in ("a\0b", "\ud800", "ü"):
        condition = {"title": text, "expression": "true"}
        policy = {"bindings": [{**BINDING, "condition": condition}], "version": 3}
        stored = (await put(face, policy)).body
        assert await get(face) == stored


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"bindings": [{"role": "invoker", "members": ["allUsers"]}]}, "policy.bindings[0].role"),
        (
            {"bindings": [{"role": "roles/a", "members": ["ada"]}]},
            "policy.bindings[0].members[0]",
        ),
        ({"bindings": [{"role": "roles/a", "member": []}]}, "policy.bindings[0].member"),
        ({"bindings": "x"}, "policy.bindings"),
        ({"bindings": [None]}, "policy.bindings[0]"),
        ({"etag": "§"}, "policy.etag"),
        ({"version": 2}, "policy.version"),
        ({"colour": 1}, "policy.colour"),
        (None, "policy"),
        ([], "policy"),
    ],
)
async def test_what_is_wrong_in_a_policy_is_named(face: Face, policy: Any, field: str) -> None:
    status, said = await put(face, policy)
    assert status == 400
    assert field in [v["field"] for v in said["error"]["details"][0]["fieldViolations"]]


async def test_a_missing_job_has_no_policy_and_grants_nothing(face: Face) -> None:
    for version in ("v1", "v2"):
        for verb, call, body in (
            ("GET", "getIamPolicy", None),
            ("POST", "setIamPolicy", {"policy": {}}),
        ):
            said = await face.ask(verb, f"/{version}/{MISSING}:{call}", body)
            assert said.error[:2] == (404, "NOT_FOUND")
            assert "Resource 'x' of kind 'JOB'" in said.message
        asked = {"permissions": ["run.jobs.run"]}
        said = await face.ask("POST", f"/{version}/{MISSING}:testIamPermissions", asked)
        assert said == (200, {})


async def test_the_callers_role_says_which_permissions_it_holds(face: Face) -> None:
    asked = ["run.jobs.get", "run.jobs.run", "run.jobs.delete", "run.services.get"]
    for role, held in ((Role.VIEWER, 1), (Role.INVOKER, 2), (Role.ADMIN, 3)):
        face.principal = Principal("t", role)
        said = await face.ask("POST", f"/v1/{JOB}:testIamPermissions", {"permissions": asked})
        assert said.body == {"permissions": asked[:held]}
    wild = await face.ask("POST", f"/v1/{JOB}:testIamPermissions", {"permissions": ["run.*"]})
    assert wild.status == 400


async def test_an_unknown_policy_version_is_refused(face: Face) -> None:
    for text in ("2", "x", "-1"):
        path = f"/v1/{JOB}:getIamPolicy?options.requestedPolicyVersion={text}"
        assert (await face.ask("GET", path)).status == 400
