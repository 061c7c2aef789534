"""Names and enums of the Cloud Tasks API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jobrunner.core.documents import shown
from jobrunner.core.params import invalid
from jobrunner.core.records import Scope
from triggers.api.http_targets import enum_name

SERVICE = "google.cloud.tasks.v2.CloudTasks"
VIEWS = {"VIEW_UNSPECIFIED": 0, "BASIC": 1, "FULL": 2}
SCHEMES = {"SCHEME_UNSPECIFIED": 0, "HTTP": 1, "HTTPS": 2}
ENFORCE_MODES = {"URI_OVERRIDE_ENFORCE_MODE_UNSPECIFIED": 0, "IF_NOT_EXISTS": 1, "ALWAYS": 2}


def queue_name(scope: Scope, queue: str) -> str:
    return f"projects/{scope.project}/locations/{scope.region}/queues/{queue}"


def task_name(scope: Scope, queue: str, task: str) -> str:
    return f"{queue_name(scope, queue)}/tasks/{task}"


def queue_id(name: Any, scope: Scope, project: Callable[[str], str]) -> str:
    """The last part of a queue's full name, which has to be of ``scope``. ``project`` reads the id
    or number of a project. Raises InvalidSpec."""
    return _last(name, queue_name(scope, "QUEUE_ID"), "queue.name", "a queue", project)


def task_id(
    name: Any, scope: Scope, queue: str, project: Callable[[str], str], field: str = "task.name"
) -> str | None:
    """The last part of a task's full name, which has to be of ``queue``; ``None`` if there is none.
    Raises InvalidSpec."""
    if name in (None, ""):
        return None
    return _last(name, task_name(scope, queue, "TASK_ID"), field, "a task", project)


def full_view(value: object, field: str = "responseView") -> bool:
    """Whether the body is to be shown. Names and numbers, a number as text too: it may come in the
    query. Raises InvalidSpec."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 3:
        value = int(value)
    if value in (None, ""):
        return False
    name = enum_name(value, VIEWS)
    if name is None:
        raise invalid(field, f"{shown(value)} is not a view; allowed: BASIC, FULL")
    return name == "FULL"


def _last(name: Any, form: str, field: str, what: str, project: Callable[[str], str]) -> str:
    given = name.split("/") if isinstance(name, str) else []
    wanted = form.split("/")
    if (
        len(given) != len(wanted)
        or given[0::2] != wanted[0::2]
        or not all(part and part.isprintable() for part in given)
    ):
        raise invalid(field, f"{shown(name)} is not a name of {what}; allowed: {form}")
    if [project(given[1]), *given[3:-1:2]] != wanted[1:-1:2]:
        raise invalid(field, f"{shown(name)} is not in the parent; allowed: {form}")
    return str(given[-1])
