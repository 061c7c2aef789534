import json
import re
from dataclasses import replace

from jobrunner.api.v1 import export_v1
from jobrunner.core.defaults import default_service_account, fill_defaults
from jobrunner.core.records import Job
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate


def exported_account(account: str) -> str | None:
    task = TaskTemplate(containers=(Container(image="i:1"),), service_account=account)
    spec = fill_defaults(JobSpec(template=ExecutionTemplate(template=task)))
    job = Job("u", "local", "us-central1", "j", spec)
    document = export_v1(job)
    text = json.dumps(document)
    found = re.findall(r'"serviceAccountName": "([^"]+)"', text)
    assert len(found) <= 1
    return found[0] if found else None


def test_the_service_account_that_nobody_chose_is_not_exported() -> None:
    assert exported_account("") is None
    assert exported_account(default_service_account()) is None


def test_a_chosen_service_account_is_exported() -> None:
    assert exported_account("me@p.iam.gserviceaccount.com") == "me@p.iam.gserviceaccount.com"


def test_an_exported_job_stays_as_it_was() -> None:
    task = TaskTemplate(containers=(Container(image="i:1"),))
    job = Job("u", "local", "us-central1", "j", fill_defaults(JobSpec(ExecutionTemplate(task))))
    before = replace(job)
    export_v1(job)
    assert job == before
