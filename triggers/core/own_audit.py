"""Entries of our own audit log as those that Google's would hold: service, method and resource by
their names there. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jobrunner.core.records import AuditEntry
from triggers.core.google_events import audit_entry

_RUN = ("run.googleapis.com", "google.cloud.run.v2.")
_CLASSES = {
    "cloudscheduler": ("cloudscheduler.googleapis.com", "google.cloud.scheduler.v1.CloudScheduler"),
    "cloudtasks": ("cloudtasks.googleapis.com", "google.cloud.tasks.v2.CloudTasks"),
    "eventarc": ("eventarc.googleapis.com", "google.cloud.eventarc.v1.Eventarc"),
}
_CALLS = {
    "create_job": "Jobs.CreateJob",
    "apply_job": "Jobs.UpdateJob",
    "replace_job": "Jobs.UpdateJob",
    "delete_job": "Jobs.DeleteJob",
    "run": "Jobs.RunJob",
    "rerun": "Jobs.RunJob",
    "cancel": "Executions.CancelExecution",
    "delete_execution": "Executions.DeleteExecution",
}
"""What the command line asks of a server, by what it is at Google."""
_TYPES = {
    "run.googleapis.com": "cloud_run_job",
    "cloudscheduler.googleapis.com": "cloud_scheduler_job",
    "cloudtasks.googleapis.com": "cloud_tasks_queue",
}
_BEFORE = re.compile(r"^/(?:apis/run\.googleapis\.com/v1|jobrunner/v\d+|v\d+)?/?")
_PLACE = re.compile(r"(?:projects|namespaces)/([^/]+)(?:/locations/([^/]+))?")

# Of google.rpc.Code, by HTTP status.
_CODES = {
    400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 412: 9, 422: 3, 429: 8, 499: 1, 500: 13, 501: 12,
    503: 14, 504: 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Audited:
    """``project`` and ``location`` are empty where the resource does not name them."""

    service: str
    method: str
    resource: str
    project: str = ""
    location: str = ""


def audited(method: str, path: str) -> Audited:
    """``method`` and ``path`` as our log has them, but for percent signs in the path:
    ``run.jobs.run``, ``/v2/projects/local/locations/us-central1/jobs/report:run``."""
    service, name = _named(method, path)
    rest = _BEFORE.sub("", path, count=1)
    above, slash, last = rest.rpartition("/")
    resource = f"{above}{slash}{last.partition(':')[0]}".rstrip("/")
    place = _PLACE.match(resource)
    if place is None:
        return Audited(service, name, resource)
    return Audited(service, name, resource, place[1], place[2] or "")


def entry_of(entry: AuditEntry, project: str, location: str) -> dict[str, object]:
    """The LogEntry of one of ours; ``project`` and ``location`` are where it belongs."""
    found = audited(entry.method, entry.resource)
    failed = entry.code >= 400
    return audit_entry(
        project=project,
        service=found.service,
        method=found.method,
        resource=found.resource,
        at=entry.at,
        insert_id=f"jobrunner-{entry.position}",
        principal=entry.actor,
        location=location,
        resource_type=_TYPES.get(found.service, ""),
        code=_CODES.get(entry.code, 2) if failed else 0,
        message=entry.detail if failed else "",
    )


def _named(method: str, path: str) -> tuple[str, str]:
    room, _, rest = method.partition(".")
    kinds, _, verb = rest.partition(".")
    if room == "jobrunner":
        call = _CALLS.get(rest)
        return (_RUN[0], f"{_RUN[1]}{call}") if call else ("jobrunner.dev", method)
    if not verb:
        return f"{room}.googleapis.com", method
    kind = "" if verb == "setIamPolicy" else _capital(kinds.removesuffix("s"))
    word = f"{_capital(verb)}{kind}"
    if room == "run":
        older = path.startswith("/apis/")
        prefix = _RUN[1].replace(".v2.", ".v1.") if older else _RUN[1]
        return _RUN[0], f"{prefix}{_capital(kinds)}.{word}"
    if room in _CLASSES:
        service, of_class = _CLASSES[room]
        return service, f"{of_class}.{word}"
    return f"{room}.googleapis.com", method


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]
