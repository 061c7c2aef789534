"""What installed plug-ins bring to a server: tables of methods and background loops.

A plug-in that breaks costs itself and nothing else. One that says what a person has to change (a
setting that cannot be read) keeps the server from starting, as a setting of our own would.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from jobrunner.calls import Method
from jobrunner.errors import UsageError
from jobrunner.plugins import ENTRY_POINT_GROUP, Plugin
from jobrunner.service.parts import Ground, Neighbour

Loop = Callable[[Ground], Awaitable[None]]

log = logging.getLogger("jobrunner.server")


def plugins() -> list[Plugin]:
    found = []
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            plugin = entry.load()
        except Exception:
            log.exception("The plug-in %s cannot be loaded", entry.name)
            continue
        if isinstance(plugin, Plugin):
            found.append(plugin)
        else:
            log.error("The plug-in %s offers no jobrunner.plugins.Plugin.", entry.name)
    return found


def methods_of(found: Sequence[Plugin], ground: Ground) -> list[Method]:
    """Each of ``routes`` is a function ``Ground → methods``. Raises UsageError as those do."""
    table: list[Method] = []
    for plugin, make in _targets(found, "routes"):
        try:
            table += make(ground)
        except UsageError:
            raise
        except Exception:
            log.exception("The methods of the plug-in %s cannot be made", plugin)
    return table


def neighbours_of(found: Sequence[Plugin], ground: Ground) -> list[Neighbour]:
    """Raises UsageError as they do."""
    known = []
    for plugin, make in _targets(found, "neighbours"):
        try:
            known.append(make(ground))
        except UsageError:
            raise
        except Exception:
            log.exception("A neighbour of the plug-in %s cannot be found", plugin)
    return known


def loops_of(found: Sequence[Plugin]) -> list[tuple[str, Loop]]:
    """Each of ``loops`` is a coroutine function that takes the Ground and runs for ever."""
    return list(_targets(found, "loops"))


def _targets(found: Sequence[Plugin], kind: str) -> Iterator[tuple[str, Any]]:
    for plugin in found:
        for target in getattr(plugin, kind):
            module, _, attribute = target.partition(":")
            try:
                yield plugin.name, getattr(import_module(module), attribute)
            except Exception:
                log.exception("%s of the plug-in %s cannot be loaded", target, plugin.name)
