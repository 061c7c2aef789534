"""Names of Pub/Sub's resources: the bounds of https://cloud.google.com/pubsub/docs/pubsub-basics."""

from __future__ import annotations

import re

from jobrunner.core.problems import Problems
from triggers.core.cron import show

_ID = re.compile(r"[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")
_FULL = {
    what: re.compile(rf"projects/[^/\s]+/{what}s/([^/\s]+)") for what in ("topic", "subscription")
}


def check_pubsub_id(problems: Problems, field: str, name: str, what: str) -> None:
    """``what`` is topic or subscription."""
    if not _ID.fullmatch(name) or name.startswith("goog"):
        form = "allowed: 3 to 255 letters, digits and -_.~+%, a letter first, not beginning 'goog'"
        problems.add(field, f"'{show(name)}' is not a name of a {what}; {form}")


def check_pubsub_name(problems: Problems, field: str, name: str, what: str) -> None:
    """The same for a full name."""
    found = _FULL[what].fullmatch(name)
    if found is None:
        form = f"allowed: projects/PROJECT/{what}s/{what.upper()}"
        problems.add(field, f"'{show(name)}' is not a full name of a {what}; {form}")
    else:
        check_pubsub_id(problems, field, found[1], what)
