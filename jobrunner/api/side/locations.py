"""Locations: the server's own region first, then every other in which the project has jobs.

Others work all the same: a region is there as soon as somebody speaks of it. Clients that name none
take the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobrunner.api.v1.answers import answer
from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.documents import Document, filled
from jobrunner.core.params import page_after, page_size, page_token
from jobrunner.ports import Page
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places, region

LIST = ("filter", "pageSize", "pageToken", "extraLocationTypes", "includeUnrevealedLocations")
REGION = "cloud.googleapis.com/region"
LOCATIONS = "google.cloud.location.Locations"
"""The gRPC service, one for all APIs."""
AFTER_ALL = "z" * 64
"""Longer than any name of a job, and behind all of them however the database sorts."""


def methods(parts: Parts) -> Sequence[Method]:
    locations = _Locations(parts)
    found = []
    for version in ("v1", "v2"):
        service = f"{LOCATIONS}/" if version == "v1" else ""
        every = f"/{version}/projects/{{project}}/locations"
        found += [
            Method("run.locations.list", "GET", every, locations.list, Role.VIEWER,
                   grpc=service and f"{service}ListLocations", summary="Lists locations",
                   query=LIST),
            Method("run.locations.get", "GET", f"{every}/{{location}}", locations.get,
                   Role.VIEWER, grpc=service and f"{service}GetLocation",
                   summary="Shows a location"),
        ]  # fmt: skip
    return found


class _Locations:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.service.store
        self._places = Places(self._store)

    async def list(self, call: Call) -> Answer:
        project = self._places.project(call.params["project"])
        after = page_after(call.params, "locations", project)
        size = page_size(call.params)
        known = list(self._known(project))
        start = known.index(after) + 1 if after in known else 0
        page, rest = known[start : start + size], known[start + size :]
        token = page_token(page[-1], "locations", project) if rest else ""
        shown = [location(project, one) for one in page]
        return answer(filled(locations=shown, nextPageToken=token))

    async def get(self, call: Call) -> Answer:
        scope = self._places.scope(call.params["project"], call.params["location"])
        return answer(location(*scope))

    def _known(self, project: str) -> Iterator[str]:
        own = region(self._parts.default.region)
        yield own
        last = ""
        while True:
            # One step of the index for each region, however many jobs it has.
            after = f"{project}/{last}/{AFTER_ALL if last else ''}"
            jobs = self._store.list_jobs(None, hidden=True, page=Page(1, after))
            if not jobs or jobs[0].project != project or jobs[0].region == last:
                return
            last = jobs[0].region
            if last != own:
                yield last


def location(project: str, name: str) -> Document:
    return {
        "name": f"projects/{project}/locations/{name}",
        "locationId": name,
        "displayName": name,
        "labels": {REGION: name},
    }
