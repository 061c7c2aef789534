"""Projects as Resource Manager, Service Usage and App Engine see them: there, with every API on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jobrunner.api.v1.answers import answer
from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.documents import Document, Node
from jobrunner.core.params import invalid
from jobrunner.core.problems import Problems
from jobrunner.errors import InvalidSpec
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places

_API = re.compile(r"[a-z0-9]([-a-z0-9.]{0,100}[a-z0-9])?")
_OLD_LOCATIONS = {"us-central1": "us-central", "europe-west1": "europe-west"}
"""Regions that App Engine calls otherwise."""
_USAGE = "type.googleapis.com/google.api.serviceusage.v1"


def methods(parts: Parts) -> Sequence[Method]:
    projects = _Projects(parts)
    one = "/v1/projects/{project}"
    viewer = Role.VIEWER
    return [
        Method("resourcemanager.projects.get", "GET", one, projects.get, viewer,
               summary="Shows a project"),
        Method("serviceusage.services.get", "GET", f"{one}/services/{{service}}", projects.api,
               viewer, summary="Says that an API is on"),
        Method("serviceusage.services.enable", "POST", f"{one}/services/{{service}}:enable",
               projects.enable, viewer, summary="Does nothing: every API is on"),
        Method("serviceusage.services.batchEnable", "POST", f"{one}/services:batchEnable",
               projects.enable_all, viewer, summary="Does nothing: every API is on"),
        Method("appengine.applications.get", "GET", "/v1/apps/{project}", projects.app, viewer,
               summary="Says which region is the default"),
    ]  # fmt: skip


class _Projects:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._places = Places(parts.service.store)

    async def get(self, call: Call) -> Answer:
        project = self._places.project(call.params["project"])
        return answer(
            {
                "projectNumber": self._places.number(project),
                "projectId": project,
                "lifecycleState": "ACTIVE",
                "name": project,
            }
        )

    async def api(self, call: Call) -> Answer:
        return answer(self._enabled(call, call.params["service"]))

    async def enable(self, call: Call) -> Answer:
        service = self._enabled(call, call.params["service"])
        return self._done("EnableServiceResponse", {"service": service})

    async def enable_all(self, call: Call) -> Answer:
        problems = Problems()
        body = Node(call.body, "", problems)
        names = body.texts("serviceIds")
        body.end()
        if problems.violations:
            raise InvalidSpec(problems.violations)
        services = [self._enabled(call, name) for name in names]
        return self._done("BatchEnableServicesResponse", {"services": services})

    async def app(self, call: Call) -> Answer:
        project = self._places.project(call.params["project"])
        region = self._parts.default.region
        return answer(
            {
                "name": f"apps/{project}",
                "id": project,
                "locationId": _OLD_LOCATIONS.get(region, region),
                "servingStatus": "SERVING",
            }
        )

    def _enabled(self, call: Call, name: str) -> Document:
        if not _API.fullmatch(name):
            raise invalid(
                "service", f"'{name[:100]}' is not an API; write it as run.googleapis.com"
            )
        project = self._places.project(call.params["project"])
        parent = f"projects/{self._places.number(project)}"
        return {
            "name": f"{parent}/services/{name}",
            "config": {"name": name},
            "state": "ENABLED",
            "parent": parent,
        }

    @staticmethod
    def _done(kind: str, response: Document) -> Answer:
        return answer(
            {
                "name": "operations/noop.DONE_OPERATION",
                "done": True,
                "response": {"@type": f"{_USAGE}.{kind}", **response},
            }
        )
