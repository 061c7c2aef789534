"""``jobrunner queues``: calls and job starts that wait their turn, and how fast they go.

Through the server of the home or of ``JOBRUNNER_ENDPOINT``; in the home itself where none runs.
"""

from __future__ import annotations

from typing import Any

import click

from jobrunner.cli.asking import confirmed, delete_all, quiet_option
from jobrunner.cli.base import Group, State, UsageProblem, read_format, with_state
from triggers.cli.desk import desk_of, pages, path_to
from triggers.cli.queues_flags import HTTP, LIMITS, RETRY, WHEN, item_body, merged
from triggers.cli.rooms import Room, limit_option, place_of
from triggers.cli.schedules_flags import BODY, JOB, changes, given, options

Document = dict[str, Any]
ROOM = Room("queues", "queue", "Nothing is sent")

name_argument = click.argument("name", metavar="QUEUE")
queue_argument = click.argument("queue", metavar="QUEUE")
item_argument = click.argument("item", metavar="ITEM")


def settings(document: Document) -> Document:
    """What people set of a queue."""
    return {key: document[key] for key in ("rateLimits", "retryConfig", "httpTarget")}


@click.group(cls=Group)
def queues() -> None:
    """Call services and start jobs one after another, as fast as a queue allows."""


# ------------------------------------------------------------------------ queues


@queues.command(
    examples=(
        "jobrunner queues create mail --max-dispatches-per-second 5",
        "jobrunner queues create reports --max-concurrent-dispatches 1 --max-attempts 3",
    )
)
@name_argument
@options(LIMITS, RETRY)
@with_state
def create(state: State, name: str, **flags: Any) -> None:
    """Make a queue."""
    from triggers.cli.naming import QUEUE, flags_named

    with desk_of(state) as desk, flags_named(QUEUE):
        ROOM.store(state, desk, None, name, merged({}, flags))
        ROOM.hint_of_server(desk.served)
    click.echo(f"Created queue '{name}'.", err=True)


@queues.command(examples=("jobrunner queues update mail --max-dispatches-per-second 0.5",))
@name_argument
@changes(LIMITS, RETRY)
@with_state
def update(state: State, name: str, **flags: Any) -> None:
    """Change what is given; the rest stays. It holds for the items that are there, too."""
    from triggers.cli.naming import QUEUE, flags_named

    if not given(flags):
        raise UsageProblem("There is nothing to change.", hint="See: queues update --help")
    with desk_of(state) as desk, flags_named(QUEUE):
        old = ROOM.found(state, desk, name)
        ROOM.store(state, desk, old, name, merged(settings(old), flags))
    click.echo(f"Updated queue '{name}'.", err=True)


@queues.command("list", examples=("jobrunner queues list --format json",))
@limit_option
@read_format
@with_state
def list_(state: State, limit: int | None, form: str) -> None:
    """List queues by name."""
    from triggers.cli.queues_views import queues_table

    ROOM.show_all(state, form, queues_table, limit)


@queues.command(examples=("jobrunner queues describe mail",))
@name_argument
@read_format
@with_state
def describe(state: State, name: str, form: str) -> None:
    """Show a queue, and how many items it has."""
    from jobrunner.cli.output import emit
    from triggers.cli.queues_views import queue_text

    with desk_of(state) as desk:
        one = ROOM.found(state, desk, name)
    emit(form, lambda: one, lambda: queue_text(one))


@queues.command(examples=("jobrunner queues delete mail --quiet",))
@click.argument("names", metavar="QUEUE...", nargs=-1, required=True)
@quiet_option
@with_state
def delete(state: State, names: tuple[str, ...], quiet: bool) -> None:
    """Delete queues with their items. What runs goes on."""
    ROOM.delete(state, names, "its items", quiet)


@queues.command(examples=("jobrunner queues pause mail",))
@name_argument
@with_state
def pause(state: State, name: str) -> None:
    """Stop sending; items can still be added."""
    ROOM.act(state, name, "pause")
    click.echo(f"Queue '{name}' is paused.", err=True)


@queues.command(examples=("jobrunner queues resume mail",))
@name_argument
@with_state
def resume(state: State, name: str) -> None:
    """Send again."""
    _, served = ROOM.act(state, name, "resume")
    click.echo(f"Queue '{name}' is running.", err=True)
    ROOM.hint_of_server(served)


@queues.command(examples=("jobrunner queues purge mail --quiet",))
@name_argument
@quiet_option
@with_state
def purge(state: State, name: str, quiet: bool) -> None:
    """Withdraw all items that are there now."""
    with desk_of(state) as desk:
        count = ROOM.found(state, desk, name)["items"]
        confirmed(f"Withdraw the {count} items of queue '{name}'?", quiet=quiet)
        desk.call("POST", f"{path_to(ROOM.path, name)}:purge", query=place_of(state), body={})
    click.echo(f"Queue '{name}' is purged.", err=True)


# ------------------------------------------------------------------------ items


@queues.command(
    examples=(
        "jobrunner queues add mail --url https://example.com/send --message-body '{\"to\": 7}' "
        "--headers Content-Type=application/json",
        "jobrunner queues add reports --job report --args --day,2026-01-01 --acknowledge success",
    )
)
@queue_argument
@options(WHEN, HTTP, BODY, JOB)
@read_format
@with_state
def add(state: State, queue: str, form: str, **flags: Any) -> None:
    """Add an item: a call of a URL, or the start of a job. Prints its name."""
    from jobrunner.cli.output import emit
    from triggers.cli.naming import ITEM, flags_named

    body = item_body(state.scope(), flags)
    with desk_of(state) as desk, flags_named(ITEM):
        path = path_to(ROOM.path, queue, "items")
        made = desk.call("POST", path, query=place_of(state), body=body)
        ROOM.hint_of_server(desk.served)
    emit(form, lambda: made, lambda: f"{made['name']}\n")


@queues.group(cls=Group)
def items() -> None:
    """See, withdraw and send the items of a queue."""


@items.command("list", examples=("jobrunner queues items list mail --limit 20",))
@queue_argument
@limit_option
@read_format
@with_state
def list_items(state: State, queue: str, limit: int | None, form: str) -> None:
    """List the items that are there, oldest first."""
    from jobrunner.cli.output import emit
    from triggers.cli.queues_views import items_table

    with desk_of(state) as desk:
        path = path_to(ROOM.path, queue, "items")
        rows = list(pages(desk, path, "items", place_of(state), limit))
    if not rows and form == "table":
        click.echo(f"Queue '{queue}' has no items.", err=True)
        return
    emit(form, lambda: rows, lambda: items_table(rows))


@items.command("describe", examples=("jobrunner queues items describe mail welcome-7",))
@queue_argument
@item_argument
@read_format
@with_state
def describe_item(state: State, queue: str, item: str, form: str) -> None:
    """Show an item and its last attempt."""
    from jobrunner.cli.output import emit
    from triggers.cli.queues_views import item_text

    with desk_of(state) as desk:
        one = desk.call("GET", path_to(ROOM.path, queue, "items", item), query=place_of(state))
    emit(form, lambda: one, lambda: item_text(one))


@items.command("delete", examples=("jobrunner queues items delete mail welcome-7 --quiet",))
@queue_argument
@click.argument("names", metavar="ITEM...", nargs=-1, required=True)
@quiet_option
@with_state
def delete_items(state: State, queue: str, names: tuple[str, ...], quiet: bool) -> None:
    """Withdraw items. A call that is on its way is broken off; a run goes on."""
    query = place_of(state)
    with desk_of(state) as desk:

        def call(verb: str, name: str) -> Document:
            return desk.call(verb, path_to(ROOM.path, queue, "items", name), query=query)

        delete_all(
            "item",
            "what it was to do",
            names,
            look=lambda name: call("GET", name),
            delete=lambda name: call("DELETE", name),
            quiet=quiet,
        )


@items.command("run", examples=("jobrunner queues items run mail welcome-7",))
@queue_argument
@item_argument
@with_state
def run_item(state: State, queue: str, item: str) -> None:
    """Send an item now, whatever the rate of its queue is and even if that is paused."""
    with desk_of(state) as desk:
        path = f"{path_to(ROOM.path, queue, 'items', item)}:run"
        desk.call("POST", path, query=place_of(state), body={})
        ROOM.hint_of_server(desk.served)
    click.echo(f"Item '{item}' is sent now.", err=True)
