"""``jobrunner schedules``: those that are kept, and what is due.

Through the server of the home or of ``JOBRUNNER_ENDPOINT``; in the home itself where none runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.asking import quiet_option
from jobrunner.cli.base import (
    Group,
    State,
    UsageProblem,
    read_format,
    with_state,
)
from triggers.cli.desk import Desk, desk_of, pages, path_to
from triggers.cli.rooms import limit_option, place_of
from triggers.cli.schedules_flags import (
    BODY,
    HTTP,
    INSTANT,
    JOB,
    OVERLAPS,
    POLICY,
    PUBSUB,
    SCHEDULE,
    changes,
    given,
    names_of,
    options,
)
from triggers.cli.schedules_telling import ROOM, explain, next_

if TYPE_CHECKING:
    from triggers.core.records import Schedule

Document = dict[str, Any]
HISTORY = 10
"""Occurrences that describe shows."""
TRIES = 3

name_argument = click.argument("name", metavar="SCHEDULE")


@click.group(cls=Group)
def schedules() -> None:
    """Start jobs and call services by the clock; see what is due when, and why."""


# ------------------------------------------------------------------------ making and changing


@schedules.group(cls=Group)
def create() -> None:
    """Make a schedule that calls a service, executes a job or publishes a message."""


@create.command(
    "http",
    examples=(
        "jobrunner schedules create http ping --schedule '*/5 * * * *' "
        "--uri https://example.com/ping --http-method get",
    ),
)
@name_argument
@options(SCHEDULE, HTTP, BODY, POLICY)
@with_state
def create_http(state: State, name: str, **flags: Any) -> None:
    """Make a schedule that calls a URL."""
    from triggers.cli.schedules_flags import http_target
    from triggers.core.records import HttpTarget

    _needs(flags, "expression", "--schedule")
    _needs(flags, "uri", "--uri")
    _create(state, name, http_target(HttpTarget(""), flags), flags)


@create.command(
    "job",
    examples=(
        "jobrunner schedules create job nightly --schedule '0 3 * * *' "
        "--time-zone Europe/Berlin --job report --overlap forbid",
    ),
)
@name_argument
@options(SCHEDULE, JOB, POLICY)
@with_state
def create_job(state: State, name: str, **flags: Any) -> None:
    """Make a schedule that executes a job."""
    from triggers.cli.schedules_flags import job_target
    from triggers.core.records import JobTarget

    _needs(flags, "expression", "--schedule")
    _needs(flags, "job", "--job")
    scope = state.scope()
    target = JobTarget("", scope.project, scope.region)
    _create(state, name, job_target(target, flags), flags)


@create.command(
    "pubsub",
    examples=(
        "jobrunner schedules create pubsub hourly --schedule '0 * * * *' "
        "--topic reports --message-body '{}'",
    ),
)
@name_argument
@options(SCHEDULE, PUBSUB, BODY, POLICY)
@with_state
def create_pubsub(state: State, name: str, **flags: Any) -> None:
    """Make a schedule that publishes a message."""
    from triggers.cli.schedules_flags import pubsub_target
    from triggers.core.records import PubsubTarget

    _needs(flags, "expression", "--schedule")
    _needs(flags, "topic", "--topic")
    target = pubsub_target(PubsubTarget(""), state.scope().project, flags)
    _create(state, name, target, flags)


def _create(state: State, name: str, target: Any, flags: dict[str, Any]) -> None:
    from triggers.api.schedules.writing import settings_document
    from triggers.cli.naming import SCHEDULE, flags_named
    from triggers.cli.schedules_flags import with_settings
    from triggers.core.records import Schedule

    scope = state.scope()
    base = Schedule("", scope.project, scope.region, name, "", target)
    wanted = settings_document(with_settings(base, flags))
    with desk_of(state) as desk, flags_named(SCHEDULE):
        made = ROOM.store(state, desk, None, name, wanted)
    click.echo(f"Schedule '{name}' was created{_next_text(made)}.", err=True)
    ROOM.hint_of_server(desk.served)


@schedules.command(
    examples=("jobrunner schedules update nightly --schedule '30 2 * * *' --missed-runs all",)
)
@name_argument
@changes(SCHEDULE, HTTP, JOB, PUBSUB, BODY, POLICY)
@with_state
def update(state: State, name: str, **flags: Any) -> None:
    """Change what is named, and leave the rest as it is."""
    from dataclasses import replace

    from triggers.cli.naming import SCHEDULE, flags_named
    from triggers.cli.schedules_flags import (
        http_target,
        job_target,
        pubsub_target,
        with_settings,
    )
    from triggers.core.records import HttpTarget, JobTarget

    named = given(flags)
    if not named:
        raise UsageProblem("There is nothing to change.", hint="See: schedules update --help")
    of_http = named & names_of(HTTP)
    of_job = named & names_of(JOB)
    of_pubsub = named & names_of(PUBSUB)
    of_body = named & names_of(BODY)
    scope = state.scope()

    def change(old: Schedule) -> Schedule:
        target = old.target
        if isinstance(target, HttpTarget):
            _only(of_job | of_pubsub, "calls a URL")
            target = http_target(target, flags)
        elif isinstance(target, JobTarget):
            _only(of_http | of_pubsub | of_body, "executes a job")
            target = job_target(target, flags)
        else:
            _only(of_http | of_job, "publishes a message")
            target = pubsub_target(target, scope.project, flags)
        return with_settings(replace(old, target=target), flags)

    with desk_of(state) as desk, flags_named(SCHEDULE):
        changed = _changed(state, desk, name, change)
    click.echo(f"Schedule '{name}' was changed{_next_text(changed)}.", err=True)


def _changed(
    state: State, desk: Desk, name: str, change: Callable[[Schedule], Schedule]
) -> Document:
    """Reads, changes and writes; again where somebody else came between."""
    from jobrunner.errors import Conflict
    from triggers.api.schedules.reading import schedule_of
    from triggers.api.schedules.writing import settings_document

    for _ in range(TRIES):
        old = ROOM.found(state, desk, name)
        new = settings_document(change(schedule_of(old)))
        try:
            return ROOM.store(state, desk, old, name, new)
        except Conflict as error:
            last = error
    raise last


def _only(flags: set[str], what: str) -> None:
    if flags:
        names = ", ".join(sorted(f"--{one.replace('_', '-')}" for one in flags))
        raise UsageProblem(f"{names}: not for this schedule, which {what}.")


def _needs(flags: dict[str, Any], name: str, option: str) -> None:
    if flags[name] is None:
        raise UsageProblem(f"{option} is required.")


def _next_text(document: Document) -> str:
    from triggers.cli.schedules_views import shown

    at = shown(document["nextAt"], document["timeZone"])
    return f"; it is due next at {at}" if at else ""


# ------------------------------------------------------------------------ looking


@schedules.command("list", examples=("jobrunner schedules list --format json",))
@limit_option
@read_format
@with_state
def list_(state: State, limit: int | None, form: str) -> None:
    """List schedules by name."""
    from triggers.cli.schedules_views import schedules_table

    ROOM.show_all(state, form, schedules_table, limit)


@schedules.command(examples=("jobrunner schedules describe nightly",))
@name_argument
@read_format
@with_state
def describe(state: State, name: str, form: str) -> None:
    """Show a schedule and what came of it lately."""
    from jobrunner.cli.output import emit
    from triggers.api.schedules.reading import schedule_of
    from triggers.cli.schedules_views import schedule_text

    with desk_of(state) as desk:
        one = ROOM.found(state, desk, name)
        path = path_to(ROOM.path, name, "occurrences")
        query = place_of(state)
        rows = list(pages(desk, path, "occurrences", query, HISTORY)) if form == "table" else []
    emit(form, lambda: one, lambda: schedule_text(one, schedule_of(one), rows[:HISTORY]))


# ------------------------------------------------------------------------ acting


@schedules.command(examples=("jobrunner schedules delete nightly --quiet",))
@click.argument("names", metavar="SCHEDULE...", nargs=-1, required=True)
@quiet_option
@with_state
def delete(state: State, names: tuple[str, ...], quiet: bool) -> None:
    """Delete schedules with their history. What runs goes on."""
    ROOM.delete(state, names, "its history", quiet)


@schedules.command(examples=("jobrunner schedules pause nightly",))
@name_argument
@with_state
def pause(state: State, name: str) -> None:
    """Stop firing. Nothing is made up for later."""
    ROOM.act(state, name, "pause")
    click.echo(f"Schedule '{name}' is paused.", err=True)


@schedules.command(examples=("jobrunner schedules resume nightly",))
@name_argument
@with_state
def resume(state: State, name: str) -> None:
    """Fire again."""
    resumed, _ = ROOM.act(state, name, "resume")
    click.echo(f"Schedule '{name}' is enabled{_next_text(resumed)}.", err=True)


@schedules.command(examples=("jobrunner schedules run nightly",))
@name_argument
@with_state
def run(state: State, name: str) -> None:
    """Fire now, whatever the clock says. Counts for overlap."""
    _, served = ROOM.act(state, name, "run")
    click.echo(f"Schedule '{name}' was run.", err=True)
    ROOM.hint_of_server(served)


@schedules.command(
    examples=(
        "jobrunner schedules backfill nightly --from 2026-01-01T00:00:00Z "
        "--to 2026-01-08T00:00:00Z --dry-run",
    )
)
@name_argument
@click.option("--from", "start", type=INSTANT, metavar="INSTANT", required=True, help="From then.")
@click.option("--to", "end", type=INSTANT, metavar="INSTANT", required=True, help="Up to then.")
@click.option("--id", metavar="ID", help="The same one opens nothing twice  [default: a new one].")
@click.option(
    "--overlap",
    type=click.Choice(OVERLAPS),
    help="For these occurrences instead of the schedule's own.",
)
@click.option("--dry-run", is_flag=True, help="Only print the instants.")
@with_state
def backfill(
    state: State,
    name: str,
    start: float,
    end: float,
    id: str | None,
    overlap: str | None,
    dry_run: bool,
) -> None:
    """Open what was due in a range, both ends included."""
    from jobrunner.core.timestamps import format_time

    ours = id or f"backfill-{int(time.time())}"
    ends = {"start": format_time(start), "end": format_time(end)}
    body: Document = {"id": ours, "dryRun": dry_run, **ends}
    if overlap is not None:
        body["overlap"] = overlap
    answer, _ = ROOM.act(state, name, "backfill", body)
    sys.stdout.writelines(f"{instant}\n" for instant in answer["instants"])
    before, skipped = answer.get("openedBefore", 0), answer.get("skipped", 0)
    count = len(answer["instants"]) - before
    said = "would be opened" if dry_run else "was opened" if count == 1 else "were opened"
    what = "occurrence" if count == 1 else "occurrences"
    also = f"; {before} had been before" if before else ""
    click.echo(f"{count} {what} {said} as '{ours}'{also}.", err=True)
    if skipped and not dry_run:
        click.echo(
            f"Overlap left out {skipped} of them; '--overlap queue-all' runs one after the other.",
            err=True,
        )


schedules.add_command(next_)
schedules.add_command(explain)
