"""Queues in YAML, for ``jobrunner apply``: a document is the whole queue, but for its items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobrunner.cli.base import State
from triggers.api.queues.reading import NEW, settings_of
from triggers.api.queues.writing import settings_document
from triggers.cli.desk import desk_of
from triggers.cli.queues import ROOM, settings
from triggers.cli.rooms_apply import Wish, fulfil, read_document
from triggers.core.queue_validation import check_queue

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """``spec`` is what the document says, defaults included."""

    where: str
    name: str
    spec: Document


def plan(where: str, content: Document) -> Plan:
    """Raises InvalidSpec."""
    name, fields = read_document(content, settings_of)
    queue = replace(NEW, name=name, **fields)
    check_queue(queue)
    return Plan(where, name, settings_document(queue))


def apply(state: State, plans: Sequence[Plan], dry_run: bool) -> None:
    with desk_of(state) as desk:
        for one in plans:
            wish = Wish(one.where, one.name, one.spec, {})
            fulfil(ROOM, state, desk, wish, settings, dry_run=dry_run)
    if not dry_run:
        ROOM.hint_of_server(desk.served)
