"""Locations, projects and APIs, as gcloud asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobrunner.api import side
from jobrunner.api.http.router import Router
from jobrunner.api.tables import all_methods
from jobrunner.core.records import DEFAULT_PROJECT_NUMBER, Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from tests.support.control import Control
from tests.support.face import Face

SPEC = JobSpec(
    template=ExecutionTemplate(template=TaskTemplate(containers=(Container(command=("true",)),)))
)


@pytest.fixture
def control() -> Iterator[Control]:
    opened = Control()
    yield opened
    opened.close()


@pytest.fixture
def face(control: Control) -> Face:
    return Face(side.methods(control.parts), region=None)


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_the_servers_region_comes_first_and_then_those_in_use(
    face: Face, control: Control, version: str
) -> None:
    for region, name in (
        ("europe-west1", "a"),
        ("asia-east1", "b"),
        ("asia-east1", "c"),
        ("us-central1", "d"),
        ("us-west1", "zzz"),
    ):
        control.service.jobs.create(Scope("demo", region), name, SPEC)
    control.service.jobs.create(Scope("demp", "us-east1"), "x", SPEC)
    path = f"/{version}/projects/demo/locations"
    body = (await face.ask("GET", f"{path}?pageSize=100")).body
    assert [one["locationId"] for one in body["locations"]] == [
        "us-central1",
        "asia-east1",
        "europe-west1",
        "us-west1",
    ]
    assert body["locations"][0] == {
        "name": "projects/demo/locations/us-central1",
        "locationId": "us-central1",
        "displayName": "us-central1",
        "labels": {"cloud.googleapis.com/region": "us-central1"},
    }
    first = (await face.ask("GET", f"{path}?pageSize=3")).body
    second = (await face.ask("GET", f"{path}?pageToken={first['nextPageToken']}")).body
    assert first["locations"] + second["locations"] == body["locations"]
    assert "nextPageToken" not in second


async def test_any_region_can_be_asked_for(face: Face) -> None:
    said = await face.ask("GET", "/v1/projects/local/locations/mars-north1")
    assert said.body["locationId"] == "mars-north1"
    assert (await face.ask("GET", "/v1/projects/local/locations/A%20B")).status == 400


async def test_a_project_goes_by_its_id_or_its_number(face: Face) -> None:
    by_id = await face.ask("GET", "/v1/projects/local")
    assert by_id == (
        200,
        {
            "projectNumber": str(DEFAULT_PROJECT_NUMBER),
            "projectId": "local",
            "lifecycleState": "ACTIVE",
            "name": "local",
        },
    )
    assert await face.ask("GET", f"/v1/projects/{DEFAULT_PROJECT_NUMBER}") == by_id
    assert (await face.ask("GET", "/v1/projects/42")).status == 404


async def test_every_api_is_on(face: Face) -> None:
    said = await face.ask("GET", "/v1/projects/local/services/run.googleapis.com")
    assert (said.status, said.body["state"]) == (200, "ENABLED")
    ids = {"serviceIds": ["run.googleapis.com", "sqladmin.googleapis.com"]}
    said = await face.ask("POST", "/v1/projects/local/services:batchEnable", ids)
    assert said.body["done"]
    assert [one["state"] for one in said.body["response"]["services"]] == ["ENABLED"] * 2
    said = await face.ask("POST", "/v1/projects/local/services/run.googleapis.com:enable", {})
    assert said.body["done"]
    wrong = await face.ask("POST", "/v1/projects/local/services:batchEnable", {"serviceIds": 3})
    assert wrong.status == 400
    assert (await face.ask("GET", "/v1/projects/local/services/a%20b")).status == 400


async def test_app_engine_names_the_default_region_in_its_own_words(face: Face) -> None:
    said = await face.ask("GET", "/v1/apps/local")
    assert (said.body["id"], said.body["locationId"]) == ("local", "us-central")


def test_the_tables_have_no_path_twice(control: Control) -> None:
    assert len(Router(all_methods(control.parts)).methods) > 20
