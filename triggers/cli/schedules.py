"""``jobrunner schedules``: what is due when, and why."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.base import Group, format_option
from jobrunner.cli.params import Parsed, whole
from jobrunner.core.timestamps import parse_time

if TYPE_CHECKING:
    from triggers.core.explain import Explained
    from triggers.core.occurrences import Timing

INSTANT = Parsed("time", lambda text: parse_time(text.strip()))
MOST = 10_000


def expression_options(function: Any) -> Any:
    """An expression, and how it is read."""
    for option in reversed(
        (
            click.option(
                "--schedule", "expression", metavar="EXPR", help="'*/5 * * * *', or in English."
            ),
            click.option(
                "--time-zone", metavar="ZONE", help="Of the expression  [default: Etc/UTC]."
            ),
            click.option(
                "--gap",
                type=click.Choice(["run", "skip"]),
                help="What happens to a time that the clocks jump over.",
            ),
            click.option(
                "--repeat",
                type=click.Choice(["first", "both"]),
                help="What happens to a time that the clocks show twice.",
            ),
        )
    ):
        function = option(function)
    return function


@click.group(cls=Group)
def schedules() -> None:
    """See what is due when, and why."""


@schedules.command(
    "next",
    examples=(
        "jobrunner schedules next --schedule '0 9 * * MON-FRI' --time-zone Europe/Berlin",
        "jobrunner schedules next --schedule 'every 5 minutes' --from 2026-03-08T00:00:00Z",
    ),
)
@expression_options
@click.option(
    "--from", "start", type=INSTANT, metavar="INSTANT", help="Strictly after that  [default: now]."
)
@click.option("--count", type=whole(1, MOST), metavar="N", default="5", show_default=True,
              help="How many.")  # fmt: skip
@format_option("text", "json", "yaml")
def next_(start: float | None, count: int, form: str, **reading: str | None) -> None:
    """Print the instants that are next, one on each line, in the zone of the schedule.

    An interval ("every 5 minutes") counts from INSTANT.
    """
    from itertools import islice

    from jobrunner.cli.output import emit
    from triggers.core.occurrences import moments
    from triggers.core.zones import offset_text

    after = time.time() if start is None else start
    when = timing_of_options(after, reading)
    due = (moment.at for moment in moments(when, after) if moment.kind.fires)
    instants = [offset_text(at, when.zone) for at in islice(due, count)]
    if form == "text":
        sys.stdout.writelines(f"{instant}\n" for instant in instants)
    else:
        emit(form, lambda: instants, str)


@schedules.command(
    examples=(
        "jobrunner schedules explain --schedule '30 2 * * *' --time-zone America/New_York "
        "--from 2026-03-07T00:00:00Z --to 2026-03-10T00:00:00Z",
    )
)
@expression_options
@click.option(
    "--from", "start", type=INSTANT, metavar="INSTANT", help="After that  [default: now]."
)
@click.option("--to", "end", type=INSTANT, metavar="INSTANT", help="Up to that.")
@click.option("--count", type=whole(1, MOST), metavar="N",
              help="How many  [default: 5; with --to: all].")  # fmt: skip
@format_option("table", "json", "yaml")
def explain(
    start: float | None, end: float | None, count: int | None, form: str, **reading: str | None
) -> None:
    """Say in plain words when an expression is due, and why each moment is as it is."""
    from math import inf

    from jobrunner.cli.output import emit
    from triggers.core.explain import explain
    from triggers.core.records import JobTarget, Schedule
    from triggers.core.words import describe

    after = time.time() if start is None else start
    when = timing_of_options(after, reading)
    some = Schedule("", "", "", "", str(reading["expression"]), JobTarget(""))
    most = count or (5 if end is None else MOST)
    rows = explain(some, when, after, inf if end is None else end, count=most)
    words = describe(when.pattern)
    emit(
        form,
        lambda: {
            "schedule": reading["expression"],
            "timeZone": str(when.zone),
            "words": words,
            "gap": str(when.gap),
            "repeat": str(when.repeat),
            "fires": [fire_document(row) for row in rows],
        },
        lambda: f"{words} ({when.zone})\n\n{fires_table(rows)}",
    )


def timing_of_options(anchor: float, reading: dict[str, str | None]) -> Timing:
    """Raises InvalidSpec, and a usage error without an expression."""
    from triggers.core.occurrences import timing
    from triggers.core.records import Gap, Repeat

    if reading["expression"] is None:
        raise click.UsageError("--schedule is required.", ctx=click.get_current_context())
    gap, repeat = reading["gap"], reading["repeat"]
    return timing(
        reading["expression"],
        reading["time_zone"] or "",
        gap=Gap(gap) if gap else None,
        repeat=Repeat(repeat) if repeat else None,
        anchor=anchor,
    )


def fire_document(row: Explained) -> dict[str, object]:
    from jobrunner.cli.words import rfc3339

    return {
        "scheduled": row.local,
        "wall": row.wall,
        "runs": row.runs,
        "state": str(row.state),
        "dueAt": rfc3339(row.due_at),
        "opensAt": rfc3339(row.opens_at),
        "reasons": list(row.reasons),
    }


def fires_table(rows: list[Explained]) -> str:
    from jobrunner.cli.output import table

    return table(
        ["SCHEDULED", "RUNS", "WHY"],
        [[row.local, "yes" if row.runs else "no", "; ".join(row.reasons)] for row in rows],
    )
