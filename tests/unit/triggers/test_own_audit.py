"""Our audit log in Google's words."""

import json
from dataclasses import replace

import pytest

from jobrunner.core.records import AuditEntry
from triggers.core.google_events import from_audit_entry, is_audit_entry
from triggers.core.own_audit import audited, entry_of

AT = "/v2/projects/local/locations/us-central1"


@pytest.mark.parametrize(
    ("method", "path", "service", "name", "resource"),
    [
        (
            "run.jobs.run", f"{AT}/jobs/report:run", "run.googleapis.com",
            "google.cloud.run.v2.Jobs.RunJob", f"{AT[4:]}/jobs/report",
        ),
        (
            "run.jobs.create", f"{AT}/jobs/ré", "run.googleapis.com",
            "google.cloud.run.v2.Jobs.CreateJob", f"{AT[4:]}/jobs/ré",
        ),
        (
            "run.jobs.setIamPolicy", f"{AT}/jobs/report:setIamPolicy", "run.googleapis.com",
            "google.cloud.run.v2.Jobs.SetIamPolicy", f"{AT[4:]}/jobs/report",
        ),
        (
            "run.jobs.delete", "/apis/run.googleapis.com/v1/namespaces/local/jobs/report",
            "run.googleapis.com", "google.cloud.run.v1.Jobs.DeleteJob",
            "namespaces/local/jobs/report",
        ),
        (
            "run.executions.cancel", f"{AT}/jobs/report/executions/report-x:cancel",
            "run.googleapis.com", "google.cloud.run.v2.Executions.CancelExecution",
            f"{AT[4:]}/jobs/report/executions/report-x",
        ),
        (
            "jobrunner.run", f"{AT[3:]}/jobs/report", "run.googleapis.com",
            "google.cloud.run.v2.Jobs.RunJob", f"{AT[4:]}/jobs/report",
        ),
        (
            "cloudscheduler.jobs.pause", "/v1/projects/p/locations/l/jobs/nightly:pause",
            "cloudscheduler.googleapis.com",
            "google.cloud.scheduler.v1.CloudScheduler.PauseJob",
            "projects/p/locations/l/jobs/nightly",
        ),
        (
            "cloudtasks.tasks.create", f"{AT}/queues/mail/tasks", "cloudtasks.googleapis.com",
            "google.cloud.tasks.v2.CloudTasks.CreateTask", f"{AT[4:]}/queues/mail/tasks",
        ),
        (
            "eventarc.triggers.delete", "/v1/projects/p/locations/l/triggers/t",
            "eventarc.googleapis.com", "google.cloud.eventarc.v1.Eventarc.DeleteTrigger",
            "projects/p/locations/l/triggers/t",
        ),
        (
            "jobrunner.buckets.set", "/jobrunner/v1/buckets/photos", "jobrunner.dev",
            "jobrunner.buckets.set", "buckets/photos",
        ),
        ("jobrunner.audit.lost", "", "jobrunner.dev", "jobrunner.audit.lost", ""),
    ],
)  # fmt: skip
def test_calls_have_the_names_that_google_gives_them(
    method: str, path: str, service: str, name: str, resource: str
) -> None:
    found = audited(method, path)
    assert (found.service, found.method, found.resource) == (service, name, resource)


def test_the_place_is_the_one_that_the_resource_names() -> None:
    found = audited("run.jobs.run", f"{AT}/jobs/report:run")
    assert (found.project, found.location) == ("local", "us-central1")
    found = audited("run.jobs.run", "/apis/run.googleapis.com/v1/namespaces/p/jobs/report:run")
    assert (found.project, found.location) == ("p", "")
    assert audited("jobrunner.buckets.set", "/jobrunner/v1/buckets/b").project == ""


@pytest.mark.parametrize(("code", "status"), [(200, {}), (404, {"code": 5, "message": "gone"})])
def test_an_entry_becomes_an_event_of_its_own(code: int, status: dict[str, object]) -> None:
    entry = AuditEntry(7, 1_750_000_000.25, "ann", "run.jobs.run", f"{AT}/jobs/j:run", code, "gone")
    document = entry_of(entry, "local", "us-central1")
    assert is_audit_entry(document)
    event = from_audit_entry(document)
    assert event.attribute("servicename") == "run.googleapis.com"
    assert event.attribute("methodname") == "google.cloud.run.v2.Jobs.RunJob"
    assert event.subject == f"run.googleapis.com/{AT[4:]}/jobs/j"
    payload = json.loads(event.data)["protoPayload"]
    assert payload["authenticationInfo"] == {"principalEmail": "ann"}
    assert payload["status"] == status
    other = from_audit_entry(entry_of(replace(entry, position=8), "local", ""))
    assert other.id != event.id
