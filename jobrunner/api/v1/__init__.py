"""Cloud Run v1 documents, to and from what is stored. Pure: no HTTP, no clock."""

from jobrunner.api.v1.export import export_v1, unfit_for_cloud_run
from jobrunner.api.v1.orders import overrides_from_v1
from jobrunner.api.v1.reading import JobDocument, job_from_v1, seen_version
from jobrunner.api.v1.writing import execution_to_v1, job_to_v1, task_to_v1

__all__ = [
    "JobDocument",
    "execution_to_v1",
    "export_v1",
    "job_from_v1",
    "job_to_v1",
    "overrides_from_v1",
    "seen_version",
    "task_to_v1",
    "unfit_for_cloud_run",
]
