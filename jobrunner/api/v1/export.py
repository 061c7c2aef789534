"""A job as a document that ``gcloud run jobs replace`` and ``jobrunner apply`` accept."""

from __future__ import annotations

from dataclasses import replace

from jobrunner.api.v1 import keys
from jobrunner.api.v1.templates import job_annotations, job_spec
from jobrunner.core.defaults import default_service_account
from jobrunner.core.documents import Document, filled
from jobrunner.core.records import Job
from jobrunner.core.spec import JobSpec


def export_v1(job: Job, *, namespace: str | None = None) -> Document:
    """Without what belongs to one deployment: versions, times, people, clients, status, and the
    service account that nobody chose.

    The namespace is left out unless it is given, because gcloud takes no other than its own
    project's. A job without an image is exported too, but Cloud Run cannot run it: see
    :func:`unfit_for_cloud_run`.
    """
    annotations = {
        key: value
        for key, value in job_annotations(job.spec).items()
        if key not in (keys.CLIENT_NAME, keys.CLIENT_VERSION)
    }
    metadata: Document = {
        "name": job.name,
        **filled(namespace=namespace),
        "labels": {**job.spec.labels, keys.LOCATION: job.region},
        **filled(annotations=annotations),
    }
    return {
        "apiVersion": keys.API_VERSION,
        "kind": "Job",
        "metadata": metadata,
        "spec": job_spec(_without_default_account(job.spec)),
    }


def _without_default_account(spec: JobSpec) -> JobSpec:
    # Ours bears the number of a project that Google does not know.
    task = spec.template.template
    if task.service_account != default_service_account():
        return spec
    task = replace(task, service_account="")
    return replace(spec, template=replace(spec.template, template=task))


def unfit_for_cloud_run(job: Job) -> list[str]:
    """Why Cloud Run would not take the exported document; whole sentences."""
    return [
        f"Container '{container.name}' has no image: Cloud Run needs one."
        for container in job.spec.template.template.containers
        if not container.image
    ]
