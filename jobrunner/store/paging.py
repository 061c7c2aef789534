"""Pages by the key of the last item: no page is read twice to find the next."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import Scope
from jobrunner.errors import UsageError
from jobrunner.lib.database import Session
from jobrunner.ports import Page

NEIGHBOURS = 32


def tail(page: Page | None) -> tuple[str, tuple[int, ...]]:
    """The end of a statement, and its parameters. No page means everything."""
    if page is None:
        return "", ()
    if page.limit < 1:
        raise UsageError(f"A page of {page.limit} items cannot be read; allowed: 1 or more.")
    return " LIMIT ?", (page.limit,)


def after(page: Page | None) -> str | None:
    return None if page is None else page.after


def bad_token(value: str, form: str) -> UsageError:
    return UsageError(f"The page token {value!r} is of no use here; it is {form}.")


def around(
    session: Session, select: str, scope: Scope, name: str, condition: str = ""
) -> Sequence[str]:
    """The names right before and after ``name``, ``NEIGHBOURS`` each way, in order: most mistakes
    leave the beginning of a name as it is, and all names may be very many."""
    place = f"{select} WHERE project = ? AND region = ?{condition}"
    before, behind = (
        [row[0] for row in session.execute(sql, (*scope, name, NEIGHBOURS))]
        for sql in (
            f"{place} AND name < ? ORDER BY name DESC LIMIT ?",
            f"{place} AND name >= ? ORDER BY name LIMIT ?",
        )
    )
    return [*reversed(before), *behind]
