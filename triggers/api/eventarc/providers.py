"""Methods of ``projects.locations.providers``: where events come from, to be looked up only."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.calls import Answer, Call
from jobrunner.core.documents import Document, filled
from jobrunner.core.records import Scope
from jobrunner.ports import Page
from jobrunner.service.places import region
from triggers.api.eventarc.frame import ANY, Frame, check_order
from triggers.core.providers import PROVIDERS, EventType, FilteringAttribute, Provider, provider
from triggers.service.unknown import unknown


class ProviderMethods:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def get(self, call: Call) -> Answer:
        scope, id = self._frame.scope(call), call.params["provider"]
        found = provider(id)
        if found is None:
            known = [one.id for one in PROVIDERS]
            raise unknown(f"There is no provider '{id}' of events.", id, known)
        return Answer(provider_document(found, scope))

    async def list(self, call: Call) -> Answer:
        """The same everywhere; for every location they are shown once, at the server's own."""
        check_order(call, "name", "provider_id")
        project = self._frame.places.project(call.params["project"])
        location = call.params["location"]
        where = self._frame.parts.default.region if location == ANY else region(location)

        def listing(_project: str, _region: str | None, page: Page) -> Sequence[Provider]:
            after = page.after or ""
            return [one for one in PROVIDERS if one.id > after][: page.limit]

        return self._frame.page(
            call,
            "providers",
            listing,
            lambda one: one.id,
            lambda one: provider_document(one, Scope(project, where)),
        )


def provider_document(found: Provider, scope: Scope) -> Document:
    return {
        "name": found.full_name(scope.project, scope.region),
        "displayName": found.display_name,
        "eventTypes": [_type(one) for one in found.types],
    }


def _type(kind: EventType) -> Document:
    return filled(
        type=kind.type,
        description=kind.description,
        filteringAttributes=[_attribute(one) for one in kind.attributes],
        eventSchemaUri=kind.schema,
    )


def _attribute(one: FilteringAttribute) -> Document:
    return filled(
        attribute=one.name,
        description=one.description,
        required=one.required,
        pathPatternSupported=one.path_pattern,
    )
