"""Lays what a mask names over a document. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from triggers.api.masks import mask_paths


def laid(
    document: Mapping[str, Any],
    body: Mapping[str, Any],
    mask: str,
    writable: Sequence[str],
    output: Sequence[str],
    what: str,
    only_one_of: Mapping[str, Sequence[Sequence[str]]],
) -> dict[str, Any]:
    """``document`` with what ``mask`` names taken from ``body``, or taken out where the body has
    nothing. Without a mask it names what the body has; ``*`` is every field. ``only_one_of`` says
    of a path which groups of members put one another out. Raises InvalidSpec for a path that names
    no field of ``what``."""
    found = deepcopy(dict(document))
    if mask.strip() == "*":
        paths = list(writable)
    elif mask.strip():
        paths = mask_paths(mask, writable, output, what)
    else:
        paths = [one for one in writable if one in body]
    for path in paths:
        _lay(found, body, path.split("."), only_one_of)
    return found


def _lay(
    document: dict[str, Any],
    body: Mapping[str, Any],
    parts: list[str],
    only_one_of: Mapping[str, Sequence[Sequence[str]]],
) -> None:
    within = document
    for place, part in enumerate(parts[:-1]):
        inner = within.get(part)
        if not isinstance(inner, dict):
            inner = within[part] = {}
        below = body.get(part)
        within, body = inner, below if isinstance(below, Mapping) else {}
        if body.get(parts[place + 1]) not in (None, "", {}):
            for group in only_one_of.get(".".join(parts[: place + 1]), ()):
                if parts[place + 1] not in group:
                    for other in group:
                        within.pop(other, None)
    value = body.get(parts[-1])
    if value in (None, "", {}, []):
        within.pop(parts[-1], None)
    else:
        within[parts[-1]] = deepcopy(value)
