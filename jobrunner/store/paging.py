"""Pages by the key of the last item: no page is read twice to find the next."""

from __future__ import annotations

from jobrunner.errors import UsageError
from jobrunner.ports import Page


def tail(page: Page | None) -> tuple[str, tuple[int, ...]]:
    """The end of a statement, and its parameters. No page means everything."""
    if page is None:
        return "", ()
    if page.limit < 1:
        raise UsageError(f"a page of {page.limit} items cannot be read; allowed: 1 or more")
    return " LIMIT ?", (page.limit,)


def after(page: Page | None) -> str | None:
    return None if page is None else page.after


def bad_token(value: str, form: str) -> UsageError:
    return UsageError(f"the page token {value!r} is of no use here; it is {form}")
