"""Names and types of the Eventarc API."""

from __future__ import annotations

from collections.abc import Callable

from jobrunner.core.documents import shown
from jobrunner.core.params import invalid
from jobrunner.core.records import Scope

SERVICE = "google.cloud.eventarc.v1.Eventarc"
PUBLISHER = "google.cloud.eventarc.publishing.v1.Publisher"
POLICIES = "google.iam.v1.IAMPolicy"
TYPES = "type.googleapis.com/google.cloud.eventarc.v1"
API_VERSION = "v1"


def parent_of(scope: Scope) -> str:
    return f"projects/{scope.project}/locations/{scope.region}"


def check_name(
    name: object, scope: Scope, collection: str, id: str, project: Callable[[str], str]
) -> None:
    """The name in a body, if there is one, has to be that of the call. ``project`` reads the id or
    number of a project. Raises InvalidSpec."""
    if name in (None, ""):
        return
    wanted = f"{parent_of(scope)}/{collection}/{id}"
    given = name.split("/") if isinstance(name, str) and name.isprintable() else []
    if len(given) == 6 and given[1]:
        given[1] = project(given[1])
    if "/".join(given) != wanted:
        raise invalid("name", f"{shown(name)} is not what the call is about; allowed: {wanted}")
