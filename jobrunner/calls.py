"""One call of an API and one method that answers it, whatever carried it: HTTP, gRPC or a plug-in.

Faces carry calls, methods answer them; neither knows the other. How a method is called by gRPC is
said in a table of its own (:class:`Rpc`), which is imported only where gRPC is spoken. Imports
nothing of ours, so that every room and every plug-in may speak of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Role(IntEnum):
    """What a caller may do; each role may do what the ones below it may."""

    VIEWER = 1
    INVOKER = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. ``name`` is what records show as creator: a token's name, or the server's user."""

    name: str
    role: Role = Role.ADMIN


@dataclass(frozen=True, slots=True)
class Raw:
    """A request as it came. ``headers`` have lower-case names and keep their order; a name may
    occur more than once. ``body`` is whole, within the bound of the face."""

    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        """The last one of this lower-case name."""
        return dict(self.headers).get(name)


@dataclass(frozen=True, slots=True)
class Call:
    """``params`` are the variables of the path and the query parameters, as text, under the names
    that the API's documents give them (camelCase). ``body`` is the decoded JSON, ``None`` without
    one. ``region`` is what the host name says (``us-central1-run.…``), ``None`` for a global host.
    ``raw`` is there for a raw method only.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    region: str | None = None
    principal: Principal = Principal("")
    idempotency_key: str | None = None
    raw: Raw | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is a value for JSON, or bytes of the content type. With ``stream`` each item is
    sent as it comes and ``body`` is not looked at. ``note`` is for the audit log: the execution
    that the call has opened, or that nothing was changed. ``headers`` come on top of those that
    every answer has."""

    body: Any = None
    status: int = 200
    content_type: str = "application/json; charset=UTF-8"
    stream: AsyncIterator[bytes] | None = None
    note: str = ""
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Method:
    """One method of an API.

    ``name`` as permissions and the audit log spell it (``run.jobs.create``). ``path`` in the form
    of Google's HTTP annotations without patterns: ``/v2/projects/{project}/jobs/{job}:run``; a
    variable is one segment. ``role`` is the least one that may call it. ``changes`` says that calls
    go to the audit log. ``grpc`` is the full name of the gRPC method, empty where there is
    none. ``summary`` is for the OpenAPI page.

    ``query`` names the parameters of the query; another one is refused. ``None``: whatever comes is
    handed over. ``body`` is the name of the schema of its body (:mod:`jobrunner.api.shapes`).

    ``about`` says what a call is about, as a path, where the path of the call does not: for the
    audit log, which must name what was to be made. It is asked before anything is checked; an empty
    text means that it cannot be told.

    An ``open`` method is answered to everybody who reaches the server, with a token or without:
    for what is public by its nature, or proves who calls in a way of its own. It does not learn
    who calls.

    A ``raw`` method reads its request itself: headers and body are handed over as they came, of
    whatever content type, and a client that leaves does not break it off. Its callers may show
    their token as ``?access_token=``, too, as senders of webhooks do. ``most_body`` bounds its body
    in bytes where that is not the bound of the face.
    """

    name: str
    verb: str
    path: str
    handler: Handler
    role: Role
    changes: bool = False
    grpc: str = ""
    summary: str = ""
    query: tuple[str, ...] | None = None
    body: str = ""
    about: Callable[[Call], str] | None = None
    open: bool = False
    raw: bool = False
    most_body: int = 0


Message = Any
"""A protobuf message; its package has no types."""

MessageType = Any
"""Its class: the plain protobuf one (``Job.pb()`` where the package wraps it)."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """The gRPC form of a method, as Google's HTTP annotation has it. A table of them is a mapping
    by full name, ``google.cloud.run.v2.Jobs/GetJob``, the one in ``Method.grpc``.

    ``name_field`` is the path of the field with the resource name (``name``, ``job.name``): it
    fills the variables of the method's path. ``body`` is the field that is the JSON body, ``*`` for
    everything but the name; empty: there is none. What is left are query parameters. ``response``
    is what the JSON of the answer is read as, strictly; members at the paths ``without`` are left
    out before, which callers over HTTP are told and which the message has no field for. A path goes
    through lists (``triggers.destination.cloudRun.job``).
    """

    request: MessageType
    response: MessageType
    name_field: str
    body: str = ""
    without: tuple[str, ...] = ()
