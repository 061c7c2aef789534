"""Buckets in YAML, for ``jobrunner apply``: names and directories. Names that a document does not
have stay as they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jobrunner.cli.base import State
from triggers.cli.buckets import ROOM, put
from triggers.cli.rooms_apply import Places, apply_places, read_places
from triggers.core.buckets import Bucket, check_bucket


def plan(where: str, content: dict[str, Any]) -> Places:
    """A path that is not absolute is one below the working directory. Raises InvalidSpec."""
    found = read_places(
        where, content, lambda name, path: check_bucket(Bucket("", "", "", name, _absolute(path)))
    )
    return replace(found, places={name: _absolute(path) for name, path in found.places.items()})


def _absolute(path: str) -> str:
    return os.path.abspath(path) if path else ""


def apply(state: State, plans: Sequence[Places], dry_run: bool) -> None:
    apply_places(ROOM, "directory", put, state, plans, dry_run)
