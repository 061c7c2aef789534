"""What the methods of v1 share: where a call is about, and how a list is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from jobrunner.api.v1.answers import listed
from jobrunner.api.v2.ledger import Ledger
from jobrunner.calls import Answer, Call, Handler, Method, Role
from jobrunner.core.params import invalid, page_after, page_size, page_token
from jobrunner.core.records import Scope
from jobrunner.core.selectors import Selector, parse_selector
from jobrunner.service.listing import Listed, Listing, Place
from jobrunner.service.parts import Parts
from jobrunner.service.places import Places, region

T = TypeVar("T")

PREFIX = "/apis/run.googleapis.com/v1/namespaces/{namespace}"
MOST_JOBS = 10_000
"""A list of jobs without a limit: gcloud asks for one page and believes that it is all."""

STEP = 200
"""Items that a list reads at a time."""

INVOKED = ("run.jobs.run", "run.executions.cancel")
"""What an invoker may do."""


LIST = (
    "limit", "continue", "labelSelector", "fieldSelector", "includeUninitialized",
    "resourceVersion", "watch",
)  # fmt: skip
REMOVE = ("apiVersion", "kind", "propagationPolicy", "orphanDependents", "force")


def method(
    name: str,
    verb: str,
    path: str,
    handler: Handler,
    summary: str,
    *,
    query: tuple[str, ...] = (),
    body: str = "",
    about: Callable[[Call], str] | None = None,
) -> Method:
    """Who may get and list may read; everything else that is not invoking is administration."""
    changes = verb != "GET"
    role = Role.INVOKER if name in INVOKED else Role.ADMIN if changes else Role.VIEWER
    return Method(
        name, verb, path, handler, role, changes, summary=summary, query=query, body=body,
        about=about,
    )  # fmt: skip


class Asked(NamedTuple):
    """A list as it is asked for."""

    place: Place
    selector: Selector
    limit: int
    after: str | None
    bound: tuple[str, ...]


class Frame:
    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.places = Places(parts.service.store)
        self.listing = Listing(parts.service.store)
        # A removal over v1 is told to those who wait for an operation of v2.
        self.ledger = Ledger(parts.service.store, parts.clock, parts.ids)

    def scope(self, call: Call) -> Scope:
        """The project of the namespace; the region of the host, else the server's own."""
        where = call.region or self.parts.default.region
        return Scope(self.project(call), region(where, "host"))

    def project(self, call: Call) -> str:
        return self.places.project(call.params["namespace"], "namespace")

    def asked(self, call: Call, kind: str, *, default: int, most: int) -> Asked:
        """Without a region in the host name: all regions of the project."""
        text = call.params.get("labelSelector", "")
        try:
            selector = parse_selector(text)
        except ValueError as error:
            raise invalid("labelSelector", str(error)) from None
        place = Place(self.project(call), call.region and region(call.region, "host"))
        # The same selector may be written with other blanks; a client repeats it as it was.
        bound = (kind, place.project, place.region or "", text)
        after = page_after(call.params, *bound, name="continue")
        size = page_size(call.params, "limit", default=default, most=most)
        return Asked(place, selector, size, after, bound)

    async def listed(
        self,
        call: Call,
        asked: Asked,
        fetch: Callable[..., Listed[T]],
        shown: Callable[[T], bytes],
    ) -> Answer:
        """One page, read in steps: others have their turn in between."""
        place, selector, limit, after, _ = asked
        items: list[bytes] = []
        while True:
            size = min(STEP, limit - len(items))
            found = fetch(place, selector=selector, limit=size, after=after)
            items += map(shown, found.items)
            after = found.after
            if after is None or len(items) == limit or len(found.items) < size:
                return self._page(call, asked, items, after)
            await asyncio.sleep(0)

    def _page(self, call: Call, asked: Asked, items: Sequence[bytes], after: str | None) -> Answer:
        kind, project = asked.bound[:2]
        token = None if after is None else page_token(after, *asked.bound)
        # The number of a project that nobody has stored anything in is not given out.
        namespace = self.places.number(project) if items else call.params["namespace"]
        return listed(f"{kind.capitalize()}List", namespace, kind, items, token)
