"""Parts of statements that select: conditions, and pages by the place of the last item."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.errors import UsageError
from jobrunner.ports import Page

BY_NAME = " ORDER BY project, region, name"


def given(*wanted: tuple[str, object | None]) -> tuple[list[str], list[object]]:
    """The conditions whose one parameter is known, and these parameters."""
    chosen = [one for one in wanted if one[1] is not None]
    return [condition for condition, _ in chosen], [value for _, value in chosen]


def joined(conditions: Sequence[str]) -> str:
    return " WHERE " + " AND ".join(conditions) if conditions else ""


def page_by_name(
    select: str, page: Page | None, *wanted: tuple[str, object | None]
) -> tuple[str, list[object]]:
    """A statement that lists what has project, region and name, in this order, and its
    parameters. Raises UsageError for a page that is none."""
    conditions, params = given(*wanted)
    if page is not None and page.after is not None:
        place = page.after.split("/")
        if len(place) != 3:
            raise bad_token(page.after, "PROJECT/REGION/NAME")
        conditions.append("(project, region, name) > (?, ?, ?)")
        params += place
    end, limit = tail(page)
    return f"{select}{joined(conditions)}{BY_NAME}{end}", [*params, *limit]


def tail(page: Page | None) -> tuple[str, tuple[int, ...]]:
    """The end of a statement, and its parameters. No page means everything."""
    if page is None:
        return "", ()
    if page.limit < 1:
        raise UsageError(f"A page of {page.limit} items cannot be read; allowed: 1 or more.")
    return " LIMIT ?", (page.limit,)


def bad_token(value: str, form: str) -> UsageError:
    return UsageError(f"The page token {value!r} is of no use here; it is {form}.")
