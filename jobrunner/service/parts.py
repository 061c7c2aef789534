"""What tables of methods and plug-ins are made from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from jobrunner.calls import Principal
from jobrunner.core.faults import Faults
from jobrunner.core.records import Scope
from jobrunner.lib.database import Database
from jobrunner.ports import Clock, Commit, Ids, MachineClock, Runner
from jobrunner.service import Service
from jobrunner.service.telling import Telling


@dataclass(frozen=True, slots=True)
class Parts:
    """Each API is a function ``methods(parts) -> Sequence[Method]``.

    ``service`` acts as the server; a handler that writes does it inside ``commit`` with
    ``service.acting(call.principal.name)``. Reads call the service directly. ``apart`` is the same
    commit for a loop that has other things to do while the disk syncs. ``default`` is the
    project and region of callers that name none. ``clock`` is for what is planned and recorded, and
    may be one that is moved by hand; ``machine`` for leases, tokens, deadlines and patience.
    """

    service: Service
    commit: Commit
    runner: Runner
    clock: Clock
    ids: Ids
    default: Scope
    machine: MachineClock
    apart: Commit | None = None


def nobody(token: str | None) -> Principal | None:
    """Lets nobody in."""
    return None


@dataclass(frozen=True, slots=True)
class Ground:
    """What a plug-in stands on: its tables of methods and its loops are functions of this.

    ``database`` is the one that the store of ``parts`` works on: a plug-in keeps tables and
    migrations of its own there, and inside ``parts.commit`` both write in one transaction.
    ``owner`` names this runner (:mod:`jobrunner.lib.identity`); ``home`` is an absolute directory;
    ``url`` is where the server answers. ``admit`` says who calls an open method, by the bearer
    token or without one, as the face does for others; ``None`` for a stranger. It raises StoreFault
    where tokens cannot be looked up. ``tell`` is there if somebody watches: it takes what has just
    become durable, and returns at once. ``faults`` are to be made on purpose.
    """

    parts: Parts
    database: Database
    owner: str
    home: str
    url: str
    admit: Callable[[str | None], Principal | None] = nobody
    tell: Telling | None = None
    faults: Faults | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another server, to which requests for it are passed on. ``authority`` is ``HOST:PORT``, lower
    case, empty if there is none now. ``name`` is a host name below ``localhost`` that means it,
    too, wherever it is. ``what`` says what it is, ``hint`` what to do to have it. ``changed`` is
    told the path of a PUT, PATCH or DELETE that was passed on and done, before its answer is."""

    name: str
    authority: str
    what: str
    hint: str = ""
    changed: Callable[[str], Awaitable[None]] | None = None
