"""``jobrunner clock``: the virtual clock of a server, for tests of what is planned."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.base import Cmd, Group, State, read_format, with_state
from jobrunner.cli.params import DURATION

if TYPE_CHECKING:
    from jobrunner.client.clock import RemoteClock


class _Shows(Group):
    """Without a command it shows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["show"])


@click.group(cls=_Shows)
def clock() -> None:
    """See what time it is for schedules, back-off and retention; move a virtual clock."""


@clock.command(examples=("jobrunner clock show", "jobrunner clock show --format json"))
@read_format
@with_state
def show(state: State, form: str) -> None:
    """Show what time it is on the clock of the server."""
    from jobrunner.cli.output import emit

    found = _clock(state).show()
    if found["clock"] == "real" and form == "table":
        click.echo("The server runs on the real clock.", err=True)
    emit(form, lambda: found, lambda: f"{found['now']}\n")


class _Moves(Cmd):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for arg in args:
            if re.match(r"-[0-9.]", arg):
                form = "a clock moves forward only; allowed: 90s, 10m, 3d, …"
                raise click.UsageError(f"DURATION '{arg[:40]}' must not be negative: {form}", ctx)
        return super().parse_args(ctx, args)


@clock.command(
    cls=_Moves,
    examples=(
        "jobrunner clock advance 3d",
        "jobrunner clock advance until 2030-01-07T09:00:00Z",
    ),
)
@click.argument("by", metavar="DURATION|until")
@click.argument("until", metavar="[TIME]", required=False)
@click.option(
    "--patience",
    type=DURATION,
    default="60s",
    metavar="DURATION",
    show_default=True,
    help="How long to wait, in real time, for what runs at one instant.",
)
@read_format
@with_state
def advance(state: State, by: str, until: str | None, patience: float, form: str) -> None:
    """Move the virtual clock: by a duration, or until a time.

    Stops at each instant at which something is due, until what it has started has settled: it was
    sent, answered, run to its end, or waits for the clock itself.
    """
    from jobrunner.cli.output import emit
    from jobrunner.errors import Refused

    if (by == "until") != (until is not None):
        raise click.UsageError("Give a duration, or the word 'until' and a time.")
    wanted = {"by": by} if until is None else {"until": until}
    found = _clock(state).advance(wanted, patience)
    if not found["arrived"]:
        doing: list[str] = found["doing"]
        raise Refused(
            f"The clock stands at {found['now']}: {'; '.join(doing)}.",
            hint="Go on with the same command once that has ended, or give --patience.",
        )
    emit(form, lambda: found, lambda: _arrived(found))


def _arrived(found: dict[str, Any]) -> str:
    count = found["instants"]
    return f"{found['now']} ({count} {'instant' if count == 1 else 'instants'})\n"


def _clock(state: State) -> RemoteClock:
    from jobrunner.client.clock import RemoteClock
    from jobrunner.client.finding import find_server
    from jobrunner.errors import Refused

    endpoint = find_server(os.environ, state.settings().home)
    if endpoint is None:
        raise Refused(
            "No server runs on this home, and nobody else has a clock.",
            hint="Start one: jobrunner serve --clock virtual",
        )
    return RemoteClock(endpoint)
