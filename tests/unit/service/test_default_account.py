"""A job without a service account has the default one of its project."""

from jobrunner.core.records import Scope
from jobrunner.core.spec import Container, ExecutionTemplate, JobSpec, TaskTemplate
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.ids import CountedIds
from jobrunner.service.jobs import Jobs
from jobrunner.store import open_store


def test_each_project_has_a_default_account_of_its_own() -> None:
    store = open_store("sqlite://")
    jobs = Jobs(store, FakeClock(), CountedIds(), actor="ann")
    template = TaskTemplate(containers=(Container(command=("true",)),))
    spec = JobSpec(template=ExecutionTemplate(template=template))

    def account(project: str) -> str | None:
        job = jobs.create(Scope(project, "us-central1"), "job", spec)
        again, word = jobs.apply(job.scope, "job", spec)
        assert (again.generation, word) == (1, "unchanged")
        return job.spec.template.template.service_account

    assert account("local") == "1000000000001-compute@developer.gserviceaccount.com"
    number = store.project_number("other")
    assert number != 1000000000001
    assert account("other") == f"{number}-compute@developer.gserviceaccount.com"
    store.close()
