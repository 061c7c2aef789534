"""``jobrunner events``: send events, and see what came in and where it went.

Through the server of the home or of ``JOBRUNNER_ENDPOINT``; in the home itself where none runs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from jobrunner.cli.base import Group, State, read_format, with_state
from jobrunner.cli.params import whole
from triggers.cli.desk import Desk, desk_of, path_to
from triggers.cli.event_flags import EVENT, events_of
from triggers.cli.rooms import place_of
from triggers.cli.schedules_flags import options

Document = dict[str, Any]
ROOM = "events"
POLL_SECONDS = 0.5
AT_ONCE = 1000
BEHIND = 64
"""With several runners an event may be seen after one that came later: so far is looked back."""


@click.group(cls=Group)
def events() -> None:
    """Send events, and see what came in and where it went."""


@events.command(
    examples=(
        "jobrunner events send --type com.example.order.made --data '{\"order\": 7}'",
        "jobrunner events send --file events.json --channel shop",
    )
)
@options(EVENT)
@read_format
@with_state
def send(state: State, form: str, **flags: Any) -> None:
    """Send events, as any sender would; says which triggers get them.

    All are taken, or none.
    """
    from jobrunner.cli.output import emit
    from triggers.cli.event_views import event_line

    body: Document = {"events": events_of(flags)}
    if flags["channel"]:
        body["channel"] = flags["channel"]
    with desk_of(state) as desk:
        said = desk.call("POST", path_to(ROOM), query=place_of(state), body=body)["events"]
        if not desk.served and any(one["triggers"] for one in said):
            click.echo("Nothing is sent on while no server runs: jobrunner serve", err=True)
    emit(form, lambda: said, lambda: "".join(event_line(one) for one in said))


@events.command(
    examples=(
        "jobrunner events tail",
        "jobrunner events tail --no-follow --limit 50 --format json",
    )
)
@click.option("--limit", type=whole(0, AT_ONCE), default=10, metavar="N", help="[default: 10]")
@click.option("--type", "event_type", metavar="TEXT", help="Events of this type only.")
@click.option("--follow/--no-follow", default=True, help="Go on with what comes  [default: on].")
@read_format
@with_state
def tail(state: State, limit: int, event_type: str | None, follow: bool, form: str) -> None:
    """Print events as they come in, one on each line, with the triggers that get them.

    JSON has one document on each line, too.
    """
    query = place_of(state) | ({"type": event_type} if event_type else {})
    with desk_of(state) as desk:
        if follow and not desk.served:
            click.echo(
                "No server runs here: only what 'jobrunner events send' keeps in this home is shown"
                " as it comes. Others send to a server: jobrunner serve",
                err=True,
            )
        for entry in _entries(desk, query, limit, follow=follow):
            sys.stdout.write(_form(form, entry))
            sys.stdout.flush()


@events.command(examples=("jobrunner events describe 17",))
@click.argument("position", metavar="EVENT", type=whole(1))
@read_format
@with_state
def describe(state: State, position: int, form: str) -> None:
    """Show an event that came in, by its number in the log."""
    from jobrunner.cli.output import emit
    from triggers.cli.event_views import event_text

    with desk_of(state) as desk:
        one = desk.call("GET", path_to(ROOM, str(position)))
    emit(form, lambda: one, lambda: event_text(one))


def _entries(desk: Desk, query: dict[str, str], limit: int, *, follow: bool) -> Iterator[Document]:
    def listed(**more: str) -> list[Document]:
        found: list[Document] = desk.call("GET", path_to(ROOM), query={**query, **more})["events"]
        return found

    first = listed(pageSize=str(max(1, limit)))
    yield from first[len(first) - limit :] if limit else []
    if not follow:
        return
    last = first[-1]["position"] if first else 0
    seen = {one["position"] for one in listed(after=str(max(0, last - BEHIND)), pageSize="1000")}
    seen = {position for position in seen if position <= last}
    while True:
        fresh = listed(after=str(max(0, last - BEHIND)), pageSize=str(AT_ONCE))
        for one in fresh:
            if one["position"] not in seen:
                yield one
        seen = {one["position"] for one in fresh}
        last = max(last, *seen) if seen else last
        if len(fresh) < AT_ONCE:
            time.sleep(POLL_SECONDS)


def _form(form: str, entry: Document) -> str:
    from jobrunner.cli.output import yaml_text
    from triggers.cli.event_views import event_line

    if form == "json":
        return json.dumps(entry, ensure_ascii=False) + "\n"
    if form == "yaml":
        return "---\n" + yaml_text(entry)
    return event_line(entry)
