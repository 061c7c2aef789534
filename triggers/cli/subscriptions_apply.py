"""Subscriptions in YAML, for ``jobrunner apply``: a document is the whole subscription, but for a
push token that it does not name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobrunner.cli.base import State
from jobrunner.core.records import DEFAULT_PROJECT, DEFAULT_REGION, Scope
from triggers.api.subscriptions.reading import (
    NEW,
    Settings,
    in_scope,
    push_token_of,
    settings_of,
)
from triggers.api.subscriptions.writing import settings_document
from triggers.cli.desk import desk_of
from triggers.cli.rooms_apply import Wish, fulfil, read_document
from triggers.cli.subscriptions import ROOM, settings
from triggers.core.event_validation import check_subscription


@dataclass(frozen=True, slots=True)
class Plan:
    """What the document says, defaults included; short names are those of the project that it is
    applied to."""

    where: str
    name: str
    settings: Settings
    token: str | None


def plan(where: str, content: dict[str, Any]) -> Plan:
    """Raises InvalidSpec."""
    name, (fields, token) = read_document(
        content, lambda spec, problems: (settings_of(spec, problems), push_token_of(spec, problems))
    )
    complete = in_scope(fields, Scope(DEFAULT_PROJECT, DEFAULT_REGION))
    check_subscription(replace(NEW, name=name, **complete))
    return Plan(where, name, fields, token)


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    with desk_of(state) as desk:
        for one in plans:
            complete = in_scope(one.settings, state.scope())
            spec = settings_document(replace(NEW, name=one.name, **complete))
            wish = Wish(one.where, one.name, spec, {"pushToken": one.token})
            fulfil(ROOM, state, desk, wish, settings, dry_run=dry_run)
    if not dry_run:
        ROOM.hint_of_server(desk.served)
