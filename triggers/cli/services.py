"""``jobrunner services``: the names of services that event triggers call, and where they are.

Through the server of the home or of ``JOBRUNNER_ENDPOINT``; in the home itself where none runs.
"""

from __future__ import annotations

from typing import Any

import click

from jobrunner.cli.base import Group, State, read_format, with_state
from triggers.cli.desk import Desk, desk_of, pages, path_to
from triggers.cli.rooms import rows_table, there

Document = dict[str, Any]
ROOM = "services"


def place_of(state: State) -> dict[str, str]:
    """The query that says which project and region are meant."""
    scope = state.scope()
    return {"project": scope.project, "region": scope.region}


def put(state: State, desk: Desk, name: str, url: str) -> Document:
    return desk.call("PUT", path_to(ROOM, name), query=place_of(state), body={"url": url})


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
    from jobrunner.cli.output import emit

    with desk_of(state) as desk:
        rows = list(pages(desk, path_to(ROOM), ROOM, place_of(state)))
    if not rows and form == "table":
        click.echo("No services.", err=True)
        return
    headers = ["SERVICE", "URL"]
    lines = rows_table(headers, rows, lambda row: [row["name"], row["url"]])
    emit(form, lambda: rows, lambda: lines)


@services.command(examples=("jobrunner services remove orders",))
@click.argument("names", metavar="SERVICE...", nargs=-1, required=True)
@with_state
def remove(state: State, names: tuple[str, ...]) -> None:
    """Forget where services are. What is on its way to them waits."""
    query = place_of(state)
    with desk_of(state) as desk:
        for name in names:
            there(desk, ROOM, name, query)
        for name in names:
            desk.call("DELETE", path_to(ROOM, name), query=query)
            click.echo(f"Removed service '{name}'.", err=True)
