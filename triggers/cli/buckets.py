"""``jobrunner buckets``: directories of this machine that stand for buckets.

Through the server of the home or of ``JOBRUNNER_ENDPOINT``; in the home itself where none runs.
"""

from __future__ import annotations

import os
from typing import Any

import click

from jobrunner.cli.base import Group, State, read_format, with_state
from triggers.cli.desk import Desk, desk_of, path_to
from triggers.cli.rooms import Room, place_of, rows_table

Document = dict[str, Any]
ROOM = Room("buckets", "bucket", "Nobody watches it")


def put(state: State, desk: Desk, name: str, directory: str) -> Document:
    body = {"directory": os.path.abspath(directory)}
    return desk.call("PUT", path_to(ROOM.path, name), query=place_of(state), body=body)


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
        ROOM.hint_of_server(desk.served)


@buckets.command("list", examples=("jobrunner buckets list --format json",))
@read_format
@with_state
def list_(state: State, form: str) -> None:
    """List buckets by name."""
    ROOM.show_all(state, form, _table)


@buckets.command(examples=("jobrunner buckets remove photos",))
@click.argument("names", metavar="BUCKET...", nargs=-1, required=True)
@with_state
def remove(state: State, names: tuple[str, ...]) -> None:
    """Watch directories no more. They stay as they are."""
    ROOM.remove(state, names)


def _table(rows: list[Document]) -> str:
    return rows_table(["BUCKET", "DIRECTORY"], rows, lambda row: [row["name"], row["directory"]])
