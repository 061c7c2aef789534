"""Update masks: which paths a patch changes, and how one is laid over a document. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jobrunner.core.params import invalid

_PATH = re.compile(r"[A-Za-z_]+(\.[A-Za-z_]+)*")


def mask_paths(mask: str, writable: Sequence[str], output: Sequence[str], what: str) -> list[str]:
    """The paths that ``mask`` names, in camelCase; those of ``output`` are left out. Raises
    InvalidSpec for one that begins with neither. ``what`` is the resource, for the message."""
    found = []
    for text in filter(None, (one.strip() for one in mask.split(","))):
        path = ".".join(camel(part) for part in text.split("."))
        root = path.partition(".")[0]
        if not _PATH.fullmatch(text) or root not in (*writable, *output):
            allowed = f"allowed: paths of {', '.join(writable)}"
            raise invalid("updateMask", f"'{text[:60]}' is not a field of {what}; {allowed}")
        if root in writable:
            found.append(path)
    return found


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
