"""Schedules in YAML, for ``jobrunner apply``: a document is the whole schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobrunner.cli.base import State
from jobrunner.core.records import DEFAULT_PROJECT, DEFAULT_REGION, Scope
from triggers.api.schedules.reading import NEW, in_scope, schedule_of, settings_of
from triggers.api.schedules.writing import settings_document
from triggers.cli.desk import desk_of
from triggers.cli.rooms_apply import Wish, fulfil, read_document
from triggers.cli.schedules_telling import ROOM
from triggers.core.validation import check_schedule

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """``settings`` are the fields of a schedule that the document says, defaults included."""

    where: str
    name: str
    settings: dict[str, Any]


def plan(where: str, content: Document) -> Plan:
    """Raises InvalidSpec."""
    name, settings = read_document(content, settings_of)
    anywhere = in_scope(settings, Scope(DEFAULT_PROJECT, DEFAULT_REGION))
    check_schedule(replace(NEW, name=name, **anywhere))
    return Plan(where, name, settings)


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    with desk_of(state) as desk:
        for one in plans:
            spec = settings_document(replace(NEW, **in_scope(one.settings, state.scope())))
            wish = Wish(one.where, one.name, spec, {})
            fulfil(ROOM, state, desk, wish, _settings, dry_run=dry_run)
    if not dry_run:
        ROOM.hint_of_server(desk.served)


def _settings(stored: Document) -> Document:
    return settings_document(schedule_of(stored))
