"""What the methods of this room share: where a call is about, and pages of lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from jobrunner.calls import Call
from jobrunner.core.params import invalid, page_after, page_size, page_token
from jobrunner.core.records import Scope
from jobrunner.ports import Page
from jobrunner.service.places import Places, region

Document = dict[str, Any]

PLACE = ("project", "region")
PAGE = ("pageSize", "pageToken")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


class Where:
    """``default`` is the project and region of callers that name none."""

    def __init__(self, places: Places, default: Scope) -> None:
        self._places = places
        self._default = default

    def scope(self, params: Mapping[str, Any]) -> Scope:
        return Scope(
            self._places.project(params.get("project") or self._default.project),
            region(params.get("region") or self._default.region),
        )

    def of_body(self, call: Call, body: Document) -> Scope:
        """Project and region of the body win over those of the query."""
        named = {key: body[key] for key in PLACE if isinstance(body.get(key), str)}
        return self.scope({**call.params, **named})


def page(
    call: Call,
    field: str,
    scope: Scope,
    read: Callable[[Page], Sequence[N]],
    write: Callable[[N], Document],
) -> Document:
    """One page of a list by name."""
    bound = (field, *scope)
    after, size = page_after(call.params, *bound), page_size(call.params)
    found = read(Page(size + 1, after))
    answer: Document = {field: [write(one) for one in found[:size]]}
    if len(found) > size:
        last = found[size - 1]
        answer["nextPageToken"] = page_token(f"{'/'.join(scope)}/{last.name}", *bound)
    return answer


def body_of(call: Call) -> Document:
    """Raises InvalidSpec."""
    if not isinstance(call.body, dict):
        raise invalid("body", "it is missing; allowed: an object")
    return call.body
