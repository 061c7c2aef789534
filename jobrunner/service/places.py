"""Which project and region a call is about.

A project goes by its id or by its number; documents of v1 show the number, those of v2 the id. A
project is there as soon as somebody speaks of it.
"""

from __future__ import annotations

import re

from jobrunner.core.params import invalid
from jobrunner.core.records import Scope
from jobrunner.errors import NotFound
from jobrunner.ports import Store

MOST_REMEMBERED = 10_000

_PROJECT = re.compile(r"[a-z0-9A-Z]([-a-z0-9A-Z_.:]{0,61}[a-z0-9A-Z])?")
_REGION = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Places:
    """Reads projects and regions; remembers the numbers of projects."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._numbers: dict[str, str] = {}

    def project(self, text: str, field: str = "project") -> str:
        """The id of a project that goes by its id or its number. Raises InvalidSpec for what is
        neither, NotFound for a number that was never given out."""
        if not _PROJECT.fullmatch(text):
            raise invalid(
                field,
                f"'{text[:63]}' is not a project; allowed: a project's id of 1 to 63 letters,"
                " digits and hyphens, or its number",
            )
        if not text.isdigit():
            return text
        if len(text) <= 18:
            try:
                return self._store.project_of(int(text))
            except NotFound:
                pass
        raise NotFound(f"Project '{text}' does not exist.")

    def number(self, project: str) -> str:
        """To be called outside a commit: the first time it writes."""
        number = self._numbers.get(project)
        if number is None:
            if len(self._numbers) >= MOST_REMEMBERED:
                self._numbers.clear()
            number = self._numbers[project] = str(self._store.project_number(project))
        return number

    def scope(self, project: str, location: str) -> Scope:
        """Of the two variables of a path."""
        return Scope(self.project(project), region(location))


def region(text: str, field: str = "location") -> str:
    if _REGION.fullmatch(text):
        return text
    raise invalid(
        field, f"'{text[:63]}' is not a location; allowed: the name of a region, as us-central1"
    )
