"""What a test expects, and what it is told when that is not so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jobrunner.testing.records import Delivery, Execution

T = TypeVar("T")
SHOWN = 20


def matching(found: Sequence[T], wanted: dict[str, Any]) -> list[T]:
    """Those whose fields are as wanted; a field that is ``None`` is not asked for."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    return [one for one in found if all(getattr(one, n) == v for n, v in asked.items())]


def expected(
    what: str,
    found: Sequence[T],
    wanted: dict[str, Any],
    count: int | None,
    row: Callable[[T], str],
) -> list[T]:
    """Raises AssertionError that shows what there is: ``count`` of them, or at least one."""
    fits = matching(found, wanted)
    if len(fits) == count if count is not None else fits:
        return fits
    words = " ".join(f"{n}={v!r}" for n, v in wanted.items() if v is not None)
    number = "at least 1" if count is None else str(count)
    rows = "".join(f"\n  {row(one)}" for one in found[-SHOWN:]) or "\n  (none)"
    more = f"\n  … and {len(found) - SHOWN} before them" if len(found) > SHOWN else ""
    raise AssertionError(
        f"expected {number} {what} with {words or 'anything'}, found {len(fits)}; there are:"
        f"{rows}{more}"
    )


def delivery_row(one: Delivery) -> str:
    tries = ", ".join(str(t.status or t.error or t.ruling) for t in one.tries)
    why = f" ({one.reason})" if one.reason else ""
    return f"{one.source} {one.name} → {one.target}: {one.state}{why}; tries: {tries or 'none'}"


def execution_row(one: Execution) -> str:
    ends = ", ".join(
        f"{a.task}.{a.number} {_ending(a.exit_code, a.signal, a.state)}" for a in one.attempts
    )
    why = f" ({one.message})" if one.message else ""
    return f"{one.job} {one.name}: {one.state}{why}; attempts: {ends or 'none'}"


def _ending(code: int | None, signal: int | None, state: str) -> str:
    if signal:
        return f"signal {signal}"
    return state.lower() if code is None else f"exit {code}"
