"""What a plug-in package offers: one value behind the entry-point group ``jobrunner.plugins``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

ENTRY_POINT_GROUP = "jobrunner.plugins"


@dataclass(frozen=True, slots=True)
class Plugin:
    """The parts a plug-in brings; each is named as ``module:attribute`` and imported when used.

    ``commands`` maps a top-level command name to a click command, ``routes`` names tables of HTTP
    routes that ``serve`` mounts, ``loops`` names background loops that ``serve`` runs. ``rpcs``
    names tables of :class:`jobrunner.calls.Rpc` by full name, one module for each package of
    messages, imported only by a server that speaks gRPC; where that package is not installed, what
    the table names is not there over gRPC. ``neighbours`` names functions of the Ground, each of
    which gives a :class:`jobrunner.service.parts.Neighbour`.
    """

    name: str
    commands: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    routes: tuple[str, ...] = ()
    loops: tuple[str, ...] = ()
    rpcs: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
