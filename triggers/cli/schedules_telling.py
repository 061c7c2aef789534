"""``jobrunner schedules next`` and ``explain``: what is due when, and why."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.base import Cmd, State, UsageProblem, format_option, read_format, with_state
from jobrunner.cli.params import DURATION, whole
from triggers.cli.desk import desk_of, path_to
from triggers.cli.rooms import Room, place_of
from triggers.cli.schedules_flags import INSTANT, SCHEDULE, options

if TYPE_CHECKING:
    from triggers.core.occurrences import Timing
    from triggers.core.records import Schedule

Document = dict[str, Any]
ROOM = Room("schedules", "schedule", "Nothing fires")
MOST = 10_000

schedule_options = options(SCHEDULE)
from_option = click.option(
    "--from", "start", type=INSTANT, metavar="INSTANT", help="After that  [default: now]."
)
optional_name = click.argument("name", metavar="SCHEDULE", required=False)


@click.command(
    "next",
    cls=Cmd,
    examples=(
        "jobrunner schedules next nightly",
        "jobrunner schedules next --schedule '0 9 * * MON-FRI' --time-zone Europe/Berlin",
        "jobrunner schedules next --schedule 'every 5 minutes' --from 2026-03-08T00:00:00Z",
    ),
)
@optional_name
@schedule_options
@from_option
@click.option(
    "--count", type=whole(1, MOST), metavar="N", default="5", show_default=True, help="How many."
)
@format_option("text", "json", "yaml")
@with_state
def next_(
    state: State, name: str | None, start: float | None, count: int, form: str, **reading: Any
) -> None:
    """Print the instants that are next, one on each line, in the zone of the schedule.

    An interval ("every 5 minutes") of a bare expression counts from INSTANT.
    """
    from itertools import islice

    from jobrunner.cli.output import emit
    from triggers.core.occurrences import moments
    from triggers.core.zones import offset_text

    after = state.now() if start is None else start
    _, when = _asked(state, name, after, reading)
    due = (moment.at for moment in moments(when, after) if moment.kind.fires)
    instants = [offset_text(at, when.zone) for at in islice(due, count)]
    if form == "text":
        sys.stdout.writelines(f"{instant}\n" for instant in instants)
    else:
        emit(form, lambda: instants, str)


@click.command(
    cls=Cmd,
    examples=(
        "jobrunner schedules explain nightly --from 2027-03-07T00:00:00Z --run-time 2h",
        "jobrunner schedules explain nightly --from 2026-03-07T00:00:00Z --history",
        "jobrunner schedules explain --schedule '30 2 * * *' --time-zone America/New_York "
        "--from 2026-03-07T00:00:00Z --to 2026-03-10T00:00:00Z",
    ),
)
@optional_name
@schedule_options
@from_option
@click.option("--to", "end", type=INSTANT, metavar="INSTANT", help="Up to that.")
@click.option(
    "--count", type=whole(1, MOST), metavar="N", help="How many  [default: 5; with --to: all]."
)
@click.option("--run-time", type=DURATION, metavar="DURATION", help="How long a run would last.")
@click.option("--history", is_flag=True, help="Set it against what happened  [--to: now].")
@read_format
@with_state
def explain(
    state: State,
    name: str | None,
    start: float | None,
    end: float | None,
    count: int | None,
    run_time: float | None,
    history: bool,
    form: str,
    **reading: Any,
) -> None:
    """Say in plain words when something is due, and why each moment is as it is."""
    from math import inf

    from jobrunner.cli.output import emit
    from triggers.api.schedules.writing import fire_document
    from triggers.cli.schedules_views import fires_table
    from triggers.core.explain import explain
    from triggers.core.words import describe

    if start is not None and end is not None and end < start:
        raise UsageProblem("--to lies before --from.")
    if history:
        _history(state, name, start, end, form)
        return
    after = state.now() if start is None else start
    schedule, when = _asked(state, name, after, reading)
    most = count or (5 if end is None else MOST)
    last = inf if end is None else end
    rows = explain(schedule, when, after, last, count=most, run_seconds=run_time)
    words = describe(when.pattern)
    if not rows and form == "table":
        click.echo(f"{words} ({when.zone})")
        click.echo("Nothing is due then.", err=True)
        return
    emit(
        form,
        lambda: {
            "schedule": schedule.expression,
            "timeZone": str(when.zone),
            "words": words,
            "gap": str(when.gap),
            "repeat": str(when.repeat),
            "fires": [fire_document(row) for row in rows],
        },
        lambda: f"{words} ({when.zone})\n\n{fires_table(rows)}",
    )


def _history(
    state: State, name: str | None, start: float | None, end: float | None, form: str
) -> None:
    from jobrunner.cli.output import emit
    from jobrunner.core.timestamps import format_time
    from triggers.cli.schedules_views import compared_table

    if name is None:
        raise UsageProblem("--history needs the name of a schedule.")
    query = place_of(state) | {
        key: format_time(at) for key, at in (("start", start), ("end", end)) if at is not None
    }
    rows: list[Document] = []
    path = f"{path_to(ROOM.path, name)}:compare"
    with desk_of(state) as desk:
        zone = ROOM.found(state, desk, name)["timeZone"]
        while True:
            answer = desk.call("GET", path, query={**query, "pageSize": "1000"})
            rows += answer["rows"]
            if "nextStart" not in answer:
                break
            query["start"] = answer["nextStart"]
    if not rows and form == "table":
        click.echo("Nothing was due, and nothing happened.", err=True)
        return
    emit(form, lambda: rows, lambda: compared_table(rows, zone))


def _asked(
    state: State, name: str | None, anchor: float, reading: dict[str, Any]
) -> tuple[Schedule, Timing]:
    """A schedule by its name, with what the options change, or of a bare expression. Raises
    InvalidSpec, and a usage error for neither."""
    from triggers.api.schedules.reading import schedule_of
    from triggers.cli.naming import SCHEDULE, flags_named
    from triggers.cli.schedules_flags import with_settings
    from triggers.core.occurrences import timing_of
    from triggers.core.records import JobTarget, Schedule

    if name is not None:
        with desk_of(state) as desk:
            document = ROOM.found(state, desk, name)
        schedule = with_settings(schedule_of(document), reading)
        with flags_named(SCHEDULE):
            return schedule, timing_of(schedule)
    if reading["expression"] is None:
        raise click.UsageError(
            "--schedule or the name of a schedule is required.", ctx=click.get_current_context()
        )
    bare = Schedule("", "", "", "", "", JobTarget(""), time_zone="", anchor=anchor)
    schedule = with_settings(bare, reading)
    with flags_named(SCHEDULE):
        return schedule, timing_of(schedule)
