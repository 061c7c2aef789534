"""``jobrunner services``: the names of services that event triggers call, and where they are.

Through the server of the home or of ``JOBRUNNER_ENDPOINT``; in the home itself where none runs.
"""

from __future__ import annotations

from typing import Any

import click

from jobrunner.cli.base import Group, State, read_format, with_state
from triggers.cli.desk import Desk, desk_of, path_to
from triggers.cli.rooms import Room, place_of, rows_table

Document = dict[str, Any]
ROOM = Room("services", "service", "Nothing is sent")


def put(state: State, desk: Desk, name: str, url: str) -> Document:
    return desk.call("PUT", path_to(ROOM.path, name), query=place_of(state), body={"url": url})


@click.group(cls=Group)
def services() -> None:
    """Say where services are, so that event triggers can call them by their names."""


@services.command("set", examples=("jobrunner services set orders http://127.0.0.1:8080",))
@click.argument("name", metavar="SERVICE")
@click.argument("url", metavar="URL")
@with_state
def set_(state: State, name: str, url: str) -> None:
    """Say where a service is. Counts from the next call on, for what waits, too."""
    with desk_of(state) as desk:
        put(state, desk, name, url)
    click.echo(f"Service '{name}' is at {url}.", err=True)


@services.command("list", examples=("jobrunner services list --format json",))
@read_format
@with_state
def list_(state: State, form: str) -> None:
    """List services by name."""
    ROOM.show_all(state, form, _table)


@services.command(examples=("jobrunner services remove orders",))
@click.argument("names", metavar="SERVICE...", nargs=-1, required=True)
@with_state
def remove(state: State, names: tuple[str, ...]) -> None:
    """Forget where services are. What is on its way to them waits."""
    ROOM.remove(state, names)


def _table(rows: list[Document]) -> str:
    return rows_table(["SERVICE", "URL"], rows, lambda row: [row["name"], row["url"]])
