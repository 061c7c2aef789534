"""``jobrunner audit``: who changed or ran what through the server."""

from __future__ import annotations

import click

from jobrunner.cli.base import Group, State, read_format, with_state
from jobrunner.cli.params import whole


@click.group(cls=Group)
def audit() -> None:
    """See who changed or ran what through the server."""


@audit.command(
    "list", examples=("jobrunner audit list --limit 20", "jobrunner audit list --format json")
)
@click.option(
    "--limit", type=whole(1), metavar="N", default=100, show_default=True, help="At most so many."
)
@read_format
@with_state
def list_(state: State, limit: int, form: str) -> None:
    """List calls that changed or ran something, newest first."""
    from jobrunner.cli.output import emit, table
    from jobrunner.cli.words import rfc3339, time_text
    from jobrunner.ports import Page

    with state.app() as app:
        entries = app.store.list_audit(page=Page(limit=limit))
    if not entries and form == "table":
        click.echo("The audit log is empty.", err=True)
        return
    emit(
        form,
        lambda: [
            {
                "position": entry.position,
                "at": rfc3339(entry.at),
                "actor": entry.actor,
                "method": entry.method,
                "resource": entry.resource,
                "code": entry.code,
                "detail": entry.detail,
            }
            for entry in entries
        ],
        lambda: table(
            ["TIME", "WHO", "METHOD", "RESOURCE", "CODE", "DETAIL"],
            [
                [
                    time_text(entry.at),
                    entry.actor,
                    entry.method,
                    entry.resource,
                    str(entry.code),
                    entry.detail,
                ]
                for entry in entries
            ],
        ),
    )
