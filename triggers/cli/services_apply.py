"""Services in YAML, for ``jobrunner apply``: names and URLs. Names that a document does not have
stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobrunner.cli.base import State
from triggers.cli.rooms_apply import Places, apply_places, read_places
from triggers.cli.services import ROOM, put
from triggers.core.event_triggers import ServiceAddress
from triggers.core.event_validation import check_service


def plan(where: str, content: dict[str, Any]) -> Places:
    """Raises InvalidSpec."""
    return read_places(
        where, content, lambda name, url: check_service(ServiceAddress("", "", name, url))
    )


def apply(state: State, plans: Sequence[Places], dry_run: bool) -> None:
    apply_places(ROOM, "url", put, state, plans, dry_run)
