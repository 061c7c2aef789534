"""The tables of methods as a document and as a page."""

import json

from jobrunner.api.http.openapi import document, html_page
from jobrunner.calls import Answer, Call, Method, Role


async def nothing(call: Call) -> Answer:
    return Answer()


METHODS = [
    Method("run.jobs.get", "GET", "/v2/projects/{project}/jobs/{job}", nothing, Role.VIEWER),
    Method("run.jobs.get", "GET", "/apis/run.googleapis.com/v1/jobs/{job}", nothing, Role.VIEWER),
    Method(
        "run.jobs.run", "POST", "/v2/projects/{project}/jobs/{job}:run", nothing, Role.INVOKER,
        summary="Runs <a job>",
    ),
]  # fmt: skip


def test_each_method_is_an_operation_with_a_name_of_its_own() -> None:
    paths = document(METHODS, "1.0")["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(METHODS)


def test_variables_are_parameters_and_bodies_belong_to_verbs_that_have_them() -> None:
    paths = document(METHODS, "1.0")["paths"]
    run = paths["/v2/projects/{project}/jobs/{job}:run"]["post"]
    assert [parameter["name"] for parameter in run["parameters"]] == ["project", "job"]
    assert "requestBody" in run
    assert "requestBody" not in paths["/v2/projects/{project}/jobs/{job}"]["get"]


def test_the_document_is_json() -> None:
    assert json.loads(json.dumps(document(METHODS, "")))["openapi"] == "3.0.3"


def test_the_page_lists_every_method_and_fetches_nothing() -> None:
    page = html_page(METHODS, "1.0")
    for method in METHODS:
        assert method.path in page
    assert "Runs &lt;a job&gt;" in page
    assert "<script" not in page
    assert "src=" not in page
    assert "://" not in page
