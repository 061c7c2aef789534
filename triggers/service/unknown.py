"""What is not there: the error says what has nearly that name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from jobrunner.core.nearest import nearest
from jobrunner.core.records import Scope
from jobrunner.errors import NotFound


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def no_such(kind: str, scope: Scope, name: str, known: Iterable[_Named]) -> NotFound:
    message = f"There is no {kind} '{name}' in {scope.region} of project {scope.project}."
    return unknown(message, name, (one.name for one in known))


def unknown(message: str, name: str, known: Iterable[str]) -> NotFound:
    guess = nearest(name, list(known))
    return NotFound(message, hint=f"Did you mean '{guess}'?" if guess else None)
