"""What the rooms of our own API share: their methods, what a call is about, and pages of lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from jobrunner.calls import Call, Handler, Method, Role
from jobrunner.core.documents import Node
from jobrunner.core.params import invalid, page_after, page_size, page_token
from jobrunner.core.problems import Problems
from jobrunner.core.records import Scope
from jobrunner.errors import InvalidSpec
from jobrunner.ports import Page
from jobrunner.service import Service
from jobrunner.service.places import Places, region
from triggers.core.records import JobTarget, Target, Unreadable

Document = dict[str, Any]

PLACE = ("project", "region")
PAGE = ("pageSize", "pageToken")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T")
N = TypeVar("N", bound=_Named)
S = TypeVar("S", covariant=True)


class Survey(Protocol[S]):
    def __call__(
        self, project: str | None, region: str | None, *, page: Page | None
    ) -> Sequence[S | Unreadable]: ...


class Maker:
    """Makes the methods of ``room``, all of which take a place in their query. ``about`` is asked
    of those that change something."""

    def __init__(self, room: str, about: Callable[[Call], str] | None = None) -> None:
        self._room = room
        self._about = about

    def __call__(
        self,
        name: str,
        verb: str,
        path: str,
        handler: Handler,
        role: Role,
        summary: str,
        query: tuple[str, ...] = (),
    ) -> Method:
        changes = role is not Role.VIEWER
        return Method(
            f"jobrunner.{self._room}.{name}", verb, path, handler, role, changes=changes,
            summary=summary, query=(*PLACE, *query), about=self._about if changes else None,
        )  # fmt: skip


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

    def about(self, call: Call, collection: str, variable: str, longest: int = 200) -> str:
        """The path of what a call names, as far as it can be told before anything was looked at:
        by the ``variable`` of its path, or in the body of what is to be made."""
        body = call.body if isinstance(call.body, dict) else {}
        making = variable not in call.params
        name = body.get("name") if making else call.params[variable]
        if not isinstance(name, str) or not name:
            return ""
        where = {**call.params, **(body if making else {})}
        place = [where.get(key) or value for key, value in zip(PLACE, self._default, strict=True)]
        project, location = (shown(str(one)[:63]) for one in place)
        return f"projects/{project}/locations/{location}/{collection}/{shown(name[:longest])}"


def page(
    call: Call,
    field: str,
    scope: Scope,
    survey: Survey[N],
    write: Callable[[N], Document],
) -> Document:
    """One page of a list by name. What cannot be read is there with its name and, as ``damaged``,
    what is wrong and what to do."""
    bound = (field, *scope)
    after, size = page_after(call.params, *bound), page_size(call.params)
    found = survey(*scope, page=Page(size + 1, after))
    answer: Document = {field: [document_of(one, write) for one in found[:size]]}
    if len(found) > size:
        last = found[size - 1]
        answer["nextPageToken"] = page_token(f"{'/'.join(scope)}/{last.name}", *bound)
    return answer


def document_of(one: T | Unreadable, write: Callable[[T], Document]) -> Document:
    if isinstance(one, Unreadable):
        return {
            "name": one.name, "project": one.project, "region": one.region, "damaged": one.why,
        }  # fmt: skip
    return write(one)


def shown(text: str) -> str:
    """As a part of a path."""
    return quote(text.encode("utf-8", "replace"), safe="")


def check_job(service: Service, target: Target) -> None:
    """Raises NotFound for a job that is not there."""
    if isinstance(target, JobTarget) and target.job:
        service.jobs.get(Scope(target.project, target.region), target.job)


def identity(scope: Scope, body: Document) -> Document:
    """The fields by which what a body makes is found again."""
    name = body.get("name")
    name = name if isinstance(name, str) else ""
    return {"project": scope.project, "region": scope.region, "name": name}


def version_of(body: Document) -> int | None:
    """The version that what is to be replaced must still have; ``None`` for any. Raises
    InvalidSpec."""
    version = body.get("resourceVersion")
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        raise invalid("resourceVersion", "it is not a whole number")
    return version


def read_settings(
    body: Document, output: Sequence[str], settings_of: Callable[[Node, Problems], T]
) -> T:
    """What a body says beside its identity, its version and the fields of ``output``. Raises
    InvalidSpec."""
    problems = Problems()
    node = Node(body, "", problems)
    node.skip("name", "resourceVersion", *PLACE, *output)
    settings = settings_of(node, problems)
    node.end()
    if problems.violations:
        raise InvalidSpec(problems.violations)
    return settings


def body_of(call: Call, field: str = "body") -> Document:
    """Raises InvalidSpec, for ``field``."""
    if not isinstance(call.body, dict):
        raise invalid(field, "it is missing; allowed: an object")
    return call.body
