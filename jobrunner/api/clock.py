"""``/jobrunner/v1/clock``: what time it is for what is planned, and how it is moved.

An API of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.quantities import parse_duration
from jobrunner.core.timestamps import format_time, parse_time
from jobrunner.errors import Refused, UsageError
from jobrunner.ports import Clock
from jobrunner.service.moving import MICROSECOND, PATIENCE_SECONDS, Moved, Mover

PATH = "/jobrunner/v1/clock"
FIELDS = ("by", "until", "patience", "within")
LAST = 253_402_300_799.0
"""The last second of the year 9999."""

Document = dict[str, Any]


def methods(clock: Clock, mover: Mover | None) -> Sequence[Method]:
    """``mover`` is there for a virtual clock."""

    async def show(call: Call) -> Answer:
        return Answer({"clock": "virtual" if clock.virtual else "real", "now": _text(clock)})

    async def advance(call: Call) -> Answer:
        if mover is None:
            raise Refused(
                "The server runs on the real clock, which nobody moves.",
                hint="Start it with: jobrunner serve --clock virtual",
            )
        body = _body(call.body)
        target = _target(body, mover.now())
        patience = _seconds(body, "patience")
        moved = await mover.advance(
            target,
            patience=PATIENCE_SECONDS if patience is None else patience,
            within=_seconds(body, "within"),
        )
        return Answer(_document(moved))

    return [
        Method(
            "jobrunner.clock.get", "GET", PATH, show, Role.VIEWER, query=(),
            summary="What time it is for schedules, back-off and retention.",
        ),
        Method(
            "jobrunner.clock.advance", "POST", f"{PATH}:advance", advance, Role.ADMIN, query=(),
            changes=True, summary="Move a virtual clock; everything due on the way happens.",
        ),
    ]  # fmt: skip


def _text(clock: Clock) -> str:
    return format_time(clock.now())


def _document(moved: Moved) -> Document:
    return {
        "now": format_time(moved.now),
        "target": format_time(moved.target),
        "arrived": moved.arrived,
        "instants": moved.instants,
        "doing": list(moved.doing),
    }


def _body(body: Any) -> Document:
    if not isinstance(body, dict):
        raise UsageError('the body is a JSON object, such as {"by": "3d"}')
    for name, value in body.items():
        if name not in FIELDS:
            raise UsageError(f"{name}: there is no such field; allowed: {', '.join(FIELDS)}")
        if not isinstance(value, str):
            raise UsageError(f"{name}: it is not text")
    return body


def _target(body: Document, now: float) -> float:
    if ("by" in body) == ("until" in body):
        raise UsageError("by, until: give exactly one of them, a duration or a time")
    if "until" not in body:
        target = max(now, round(now + (_seconds(body, "by") or 0.0), 6))
    else:
        try:
            target = parse_time(body["until"])
        except ValueError as error:
            raise UsageError(f"until: {error}") from None
        # Told with six digits, an instant may lie a hair before itself.
        target = now if now - MICROSECOND < target < now else target
        if target < now:
            raise UsageError(
                f"until: '{body['until']}' is before the virtual now, {format_time(now)};"
                " time does not go back"
            )
    if target > LAST:
        raise UsageError("by, until: that is after the year 9999")
    return target


def _seconds(body: Document, name: str) -> float | None:
    if name not in body:
        return None
    try:
        return float(parse_duration(body[name]))
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
