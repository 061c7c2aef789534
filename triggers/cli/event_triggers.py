"""``jobrunner triggers``: which events go where.

Through the server of the home or of ``JOBRUNNER_ENDPOINT``; in the home itself where none runs.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from jobrunner.cli.asking import quiet_option
from jobrunner.cli.base import Group, State, UsageProblem, read_format, with_state
from jobrunner.cli.params import whole
from triggers.cli.desk import desk_of
from triggers.cli.event_flags import DESTINATION, EVENT, FILTERS, POLICY, events_of, merged
from triggers.cli.rooms import Room, limit_option
from triggers.cli.schedules_flags import options

Document = dict[str, Any]
ROOM = Room("event-triggers", "trigger", "Nothing is sent")
SETTINGS = (
    "eventFilters", "expression", "channel", "transportTopic", "destination", "serviceAccount",
    "eventDataContentType", "retryPolicy", "deadLetterPolicy", "deadline", "backlog",
    "labels",
)  # fmt: skip

name_argument = click.argument("name", metavar="TRIGGER")


def settings(document: Document) -> Document:
    """What people set of a trigger. A server that is older than this program knows less."""
    return {key: document[key] for key in SETTINGS if key in document}


def warn(trigger: Document, served: bool) -> None:
    """What keeps it from working."""
    for one in trigger["conditions"].values():
        click.echo(f"Warning: {one['message']}.", err=True)
    ROOM.hint_of_server(served)


@click.group(cls=Group)
def triggers() -> None:
    """Bring events to services, endpoints, topics and jobs."""


@triggers.command(
    examples=(
        "jobrunner triggers create orders --event-filters type=com.example.order.made "
        "--destination-run-service orders --destination-run-path /events",
        "jobrunner triggers create thumbs --destination-run-job thumbnail --acknowledge success "
        "--event-filters type=google.cloud.storage.object.v1.finalized,bucket=photos",
        "jobrunner triggers create alarm --destination-http-endpoint-uri https://example.com/hook "
        "--event-filters type=dev.jobrunner.execution.v1.failed "
        "--event-filters-path-pattern job=nightly-*",
    )
)
@name_argument
@options(FILTERS, DESTINATION, POLICY)
@with_state
def create(state: State, name: str, **flags: Any) -> None:
    """Make a trigger."""
    spec = merged({}, flags, state.scope().project)
    if "destination" not in spec:
        raise UsageProblem(
            "Say where events go: --destination-run-service, --destination-run-job, "
            "--destination-http-endpoint-uri or --destination-topic."
        )
    if "eventFilters" not in spec:
        raise UsageProblem("Say which events: --event-filters type=TYPE.")
    with desk_of(state) as desk:
        made = ROOM.store(state, desk, None, name, spec)
        click.echo(f"Created trigger '{name}'.", err=True)
        warn(made, desk.served)


@triggers.command(examples=("jobrunner triggers update orders --destination-run-path /v2/events",))
@name_argument
@options(FILTERS, DESTINATION, POLICY)
@with_state
def update(state: State, name: str, **flags: Any) -> None:
    """Change what is given; the rest stays. What is on its way goes where it was to go."""
    with desk_of(state) as desk:
        old = ROOM.found(state, desk, name)
        spec = merged(settings(old), flags, state.scope().project)
        made = ROOM.store(state, desk, old, name, spec)
        click.echo(f"Updated trigger '{name}'.", err=True)
        warn(made, desk.served)


@triggers.command("list", examples=("jobrunner triggers list --format json",))
@limit_option
@read_format
@with_state
def list_(state: State, limit: int | None, form: str) -> None:
    """List triggers by name."""
    from triggers.cli.event_views import triggers_table

    ROOM.show_all(state, form, triggers_table, limit)


@triggers.command(examples=("jobrunner triggers describe orders",))
@name_argument
@read_format
@with_state
def describe(state: State, name: str, form: str) -> None:
    """Show a trigger, and what keeps it from working."""
    from jobrunner.cli.output import emit
    from triggers.cli.event_views import trigger_text

    with desk_of(state) as desk:
        one = ROOM.found(state, desk, name)
    emit(form, lambda: one, lambda: trigger_text(one))


@triggers.command(examples=("jobrunner triggers delete orders --quiet",))
@click.argument("names", metavar="TRIGGER...", nargs=-1, required=True)
@quiet_option
@with_state
def delete(state: State, names: tuple[str, ...], quiet: bool) -> None:
    """Delete triggers. What is on its way goes on."""
    ROOM.delete(state, names, "all that it says", quiet)


@triggers.command(
    examples=(
        "jobrunner triggers test orders --type com.example.order.made --data '{\"n\": 1}'",
        "jobrunner triggers test orders --position 17",
    )
)
@name_argument
@options(EVENT)
@click.option("--position", type=whole(1), metavar="N", help="One in the log: see 'events tail'.")
@read_format
@with_state
def test(state: State, name: str, position: int | None, form: str, **flags: Any) -> None:
    """Would an event go by this trigger, and if not, who says no? Nothing is sent.

    Ends with 0 if it would, with 1 if not.
    """
    from jobrunner.cli.output import emit
    from triggers.cli.event_views import rehearsal_text

    if position is not None:
        if flags["file"] or flags["event_type"]:
            raise UsageProblem("--position and the other options exclude each other.")
        body: Document = {"position": position}
    else:
        given = events_of(flags)
        if len(given) > 1:
            raise UsageProblem(f"--file: there are {len(given)} events; one is tested at a time.")
        body = {"event": given[0], "channel": flags["channel"] or ""}
    said, _ = ROOM.act(state, name, "test", body)
    emit(form, lambda: said, lambda: rehearsal_text(name, said))
    if not said["matches"]:
        sys.exit(1)
