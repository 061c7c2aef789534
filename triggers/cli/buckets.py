"""``jobrunner buckets``: directories of this machine that stand for buckets.

Through the server of the home or of ``JOBRUNNER_ENDPOINT``; in the home itself where none runs.
"""

from __future__ import annotations

import os
from typing import Any

import click

from jobrunner.cli.base import Group, State, read_format, with_state
from triggers.cli.desk import Desk, desk_of, pages, path_to
from triggers.cli.rooms import rows_table, there
from triggers.cli.services import place_of

Document = dict[str, Any]
ROOM = "buckets"


def put(state: State, desk: Desk, name: str, directory: str) -> Document:
    body = {"directory": os.path.abspath(directory)}
    return desk.call("PUT", path_to(ROOM, name), query=place_of(state), body=body)


@click.group(cls=Group)
def buckets() -> None:
    """Let directories stand for buckets, so that files in them are events."""


@buckets.command(examples=("jobrunner buckets add photos /srv/photos",))
@click.argument("name", metavar="BUCKET")
@click.argument("directory", metavar="DIR")
@with_state
def add(state: State, name: str, directory: str) -> None:
    """Watch a directory. Files that are in it already are no news."""
    with desk_of(state) as desk:
        made = put(state, desk, name, directory)
        click.echo(f"Bucket '{name}' is {made['directory']}.", err=True)
        if not desk.served:
            click.echo("Nobody watches it while no server runs: jobrunner serve", err=True)


@buckets.command("list", examples=("jobrunner buckets list --format json",))
@read_format
@with_state
def list_(state: State, form: str) -> None:
    """List buckets by name."""
    from jobrunner.cli.output import emit

    with desk_of(state) as desk:
        rows = list(pages(desk, path_to(ROOM), ROOM, place_of(state)))
    if not rows and form == "table":
        click.echo("No buckets.", err=True)
        return
    headers = ["BUCKET", "DIRECTORY"]
    lines = rows_table(headers, rows, lambda row: [row["name"], row["directory"]])
    emit(form, lambda: rows, lambda: lines)


@buckets.command(examples=("jobrunner buckets remove photos",))
@click.argument("names", metavar="BUCKET...", nargs=-1, required=True)
@with_state
def remove(state: State, names: tuple[str, ...]) -> None:
    """Watch directories no more. They stay as they are."""
    query = place_of(state)
    with desk_of(state) as desk:
        for name in names:
            there(desk, ROOM, name, query)
        for name in names:
            desk.call("DELETE", path_to(ROOM, name), query=query)
            click.echo(f"Removed bucket '{name}'.", err=True)
