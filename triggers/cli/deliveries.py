"""``jobrunner deliveries``: what was sent where, what became of it, and dead letters."""

from __future__ import annotations

import sys
from typing import Any

import click

from jobrunner.cli.base import Group, State, read_format, with_state
from jobrunner.cli.params import DURATION, whole

ROOM = "deliveries"
STATES = ("PENDING", "SENDING", "FOLLOWING", "DELIVERED", "DEAD", "EXPIRED", "CANCELLED")
SOURCES = ("schedule", "queue", "subscription", "event-trigger", "manual")
Document = dict[str, Any]


@click.group(cls=Group)
def deliveries() -> None:
    """See what was sent where, send by hand, and look after dead letters."""


def filter_options(function: Any) -> Any:
    """What deliveries are meant."""
    for option in reversed(
        (
            click.option(
                "--state",
                "states",
                type=click.Choice(STATES, case_sensitive=False),
                multiple=True,
                help="In that state; may be repeated.",
            ),
            click.option("--source", type=click.Choice(SOURCES), help="From that kind of source."),
            click.option("--source-name", metavar="NAME", help="From the source of that name."),
            click.option(
                "--target", metavar="PLACE", help="To HOST:PORT, or job:PROJECT/REGION/NAME."
            ),
            click.option(
                "--older-than", type=DURATION, metavar="DURATION", help="Older than that."
            ),
            click.option(
                "--newer-than", type=DURATION, metavar="DURATION", help="Younger than that."
            ),
        )
    ):
        function = option(function)
    return function


def query_of(
    state: State,
    *,
    states: tuple[str, ...],
    source: str | None,
    source_name: str | None,
    target: str | None,
    older_than: float | None,
    newer_than: float | None,
) -> Document:
    from jobrunner.core.quantities import format_duration

    scope = state.scope()
    found = {
        "project": scope.project,
        "region": scope.region,
        "state": ",".join(states) or None,
        "source": source,
        "sourceName": source_name,
        "target": target,
        "olderThan": None if older_than is None else format_duration(older_than),
        "newerThan": None if newer_than is None else format_duration(newer_than),
    }
    return {name: value for name, value in found.items() if value is not None}


# ---------------------------------------------------------------- reads


@deliveries.command(
    "list",
    examples=(
        "jobrunner deliveries list --state dead",
        "jobrunner deliveries list --target hooks.example.com:443 --newer-than 1h --format json",
    ),
)
@filter_options
@click.option(
    "--limit", type=whole(1), metavar="N", default="100", show_default=True, help="At most so many."
)
@read_format
@with_state
def list_(state: State, limit: int, form: str, **wanted: Any) -> None:
    """List deliveries, newest first."""
    from jobrunner.cli.output import emit
    from triggers.cli.deliveries_views import deliveries_table
    from triggers.cli.desk import desk_of, pages, path_to

    with desk_of(state) as desk:
        query = query_of(state, **wanted)
        found = list(pages(desk, path_to(ROOM), ROOM, query, limit))
    if not found and form == "table":
        click.echo("There are no such deliveries.", err=True)
        return
    emit(form, lambda: found, lambda: deliveries_table(found))


@deliveries.command(examples=("jobrunner deliveries describe 0197-…",))
@click.argument("delivery", metavar="DELIVERY")
@read_format
@with_state
def describe(state: State, delivery: str, form: str) -> None:
    """Show one delivery with all its attempts."""
    from jobrunner.cli.output import emit
    from triggers.cli.deliveries_views import delivery_text
    from triggers.cli.desk import desk_of, path_to

    with desk_of(state) as desk:
        found = desk.call("GET", path_to(ROOM, delivery))
    emit(form, lambda: found, lambda: delivery_text(found))
    if form == "table" and found["state"] == "DEAD" and "replayedBy" not in found:
        click.echo(f"Send it again: jobrunner deliveries replay {delivery}", err=True)


@deliveries.command(examples=("jobrunner deliveries count --newer-than 24h",))
@filter_options
@read_format
@with_state
def count(state: State, form: str, **wanted: Any) -> None:
    """Count deliveries by their state."""
    from jobrunner.cli.output import emit, table
    from triggers.cli.desk import desk_of, path_to

    with desk_of(state) as desk:
        found = desk.call("GET", f"{path_to(ROOM)}:count", query=query_of(state, **wanted))
    rows = [[name, str(number)] for name, number in found["counts"].items()]
    rows.append(["total", str(found["total"])])
    emit(form, lambda: found, lambda: table(["STATE", "DELIVERIES"], rows))


# ---------------------------------------------------------------- writes


@deliveries.command(
    examples=(
        "jobrunner deliveries send https://example.com/hook --data '{\"a\": 1}' "
        "--header 'Content-Type: application/json'",
        "jobrunner deliveries send --job report --acknowledge success --max-retry-attempts 3",
    )
)
@click.argument("url", metavar="[URL]", required=False)
@click.option("--job", metavar="NAME", help="Start this job instead of calling a URL.")
@click.option("--data", metavar="TEXT", help="The body.")
@click.option(
    "--data-file", type=click.File("rb"), metavar="FILE", help="The body ('-': standard input)."
)
@click.option(
    "--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="May be repeated."
)
@click.option("--http-method", metavar="METHOD", help="[default: POST]")
@click.option(
    "--attempt-deadline", type=DURATION, metavar="DURATION", help="Of one attempt  [default: 180s]."
)
@click.option("--oidc-service-account-email", metavar="EMAIL", help="Send a token of this account.")
@click.option("--oidc-token-audience", metavar="TEXT", help="Of the token  [default: the URL].")
@click.option(
    "--acknowledge",
    type=click.Choice(["start", "success"]),
    help="With --job: delivered when it has started, or succeeded  [default: start].",
)
@click.option("--key", metavar="TEXT", help="What has the same key is sent once.")
@click.option("--order-key", metavar="TEXT", help="One after the other within this key.")
@click.option("--delay", type=DURATION, metavar="DURATION", help="Not before that time has passed.")
@click.option(
    "--max-retry-attempts",
    type=whole(0),
    metavar="N",
    help="Retries after the first attempt  [default: 5].",
)
@click.option(
    "--max-retry-duration",
    type=DURATION,
    metavar="DURATION",
    help="From the first; alone it is the only limit.",
)
@click.option("--min-backoff", type=DURATION, metavar="DURATION", help="[default: 5s]")
@click.option("--max-backoff", type=DURATION, metavar="DURATION", help="[default: 1h]")
@click.option("--max-doublings", type=whole(0), metavar="N", help="[default: 5]")
@read_format
@with_state
def send(state: State, url: str | None, job: str | None, form: str, **flags: Any) -> None:
    """Call a URL or start a job, durably: again and again until it is accepted or given up."""
    from jobrunner.cli.output import emit
    from triggers.cli.deliveries_flags import order_of
    from triggers.cli.desk import desk_of, path_to
    from triggers.cli.naming import DELIVERY, flags_named

    body = order_of(state, url, job, flags)
    with desk_of(state) as desk, flags_named(DELIVERY):
        found = desk.call("POST", path_to(ROOM), body=body)
    emit(form, lambda: found, lambda: f"{found['uid']}\n")
    if not desk.served:
        click.echo("It waits for a server: jobrunner serve", err=True)


@deliveries.command(examples=("jobrunner deliveries cancel 0197-…",))
@click.argument("names", metavar="DELIVERY...", nargs=-1, required=True)
@with_state
def cancel(state: State, names: tuple[str, ...]) -> None:
    """Withdraw deliveries that have not settled. A call on the wire is broken off soon."""
    from triggers.cli.desk import desk_of, path_to

    with desk_of(state) as desk:
        for name in names:
            desk.call("POST", f"{path_to(ROOM, name)}:cancel", body={})
            click.echo(f"Withdrew delivery '{name}'.", err=True)


@deliveries.command(
    examples=(
        "jobrunner deliveries replay --target hooks.example.com:443 --dry-run",
        "jobrunner deliveries replay --newer-than 24h --rate 5/s",
    )
)
@click.argument("names", metavar="[DELIVERY...]", nargs=-1)
@filter_options
@click.option("--rate", metavar="N/s|min|h", help="So many at a time  [default: 10/s].")
@click.option("--dry-run", is_flag=True, help="Only say which ones.")
@read_format
@with_state
def replay(
    state: State, names: tuple[str, ...], rate: str | None, dry_run: bool, form: str, **wanted: Any
) -> None:
    """Send dead letters again: those that are named, or those of a filter. Each at most once."""
    from jobrunner.cli.output import emit, table
    from triggers.cli.deliveries_flags import present
    from triggers.cli.deliveries_views import local
    from triggers.cli.desk import desk_of, path_to

    more = present({"rate": rate}) | {"dryRun": dry_run}
    if names and any(wanted.values()):
        ctx = click.get_current_context()
        raise click.UsageError("Name deliveries, or give a filter: not both.", ctx=ctx)
    if not names and not any(wanted.values()):
        raise click.UsageError(
            "Name deliveries, or give a filter (--state dead is all of them).",
            ctx=click.get_current_context(),
        )
    found: list[Document] = []
    held: list[Document] = []
    before = 0
    again = f"{path_to(ROOM)}:replay"
    with desk_of(state) as desk:
        if names:
            for name in names:
                answer = desk.call("POST", again, body={"uid": name, **more})
                found += answer["replayed"]
                held += answer.get("waiting", ())
        else:
            query = query_of(state, **wanted) | more
            while True:
                answer = desk.call("POST", again, body=query)
                found += answer["replayed"]
                held += answer.get("waiting", ())
                before += answer["replayedBefore"]
                for one in answer.get("refused", ()):
                    click.echo(f"Not replayed: {one['uid']}: {one['reason']}", err=True)
                for one in answer.get("damaged", ()):
                    click.echo(f"Left out {one['uid']}: {one['damaged']}", err=True)
                if not answer.get("more"):
                    break
                query |= {"after": answer["after"], "startTime": answer["startTime"]}
    rows = [[one["parent"], one.get("uid", ""), local(one["notBefore"])] for one in found]
    if rows or form != "table":
        headers = ["LETTER", "REPLAYED AS", "NOT BEFORE"]
        emit(form, lambda: found, lambda: table(headers, rows))
    for one in held:
        click.echo(
            f"{'Would wait' if dry_run else 'Waits'}: {one['parent']}: {one['reason']}", err=True
        )
    would = "Would replay" if dry_run else "Replayed"
    click.echo(
        f"{would} {_counted(len(found), 'dead letter')}; {before} had been replayed before.",
        err=True,
    )
    if (found or held) and not desk.served and not dry_run:
        click.echo("They wait for a server: jobrunner serve", err=True)


@deliveries.command(examples=("jobrunner deliveries purge --state dead --older-than 30d",))
@filter_options
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@click.option("--quiet", "-q", is_flag=True, help="Do not ask.")
@with_state
def purge(state: State, dry_run: bool, quiet: bool, **wanted: Any) -> None:
    """Remove what has settled, with its attempts; dead letters where no state is given.
    --older-than counts from the end."""
    from jobrunner.errors import Refused
    from triggers.cli.desk import desk_of, path_to

    purging = f"{path_to(ROOM)}:purge"
    with desk_of(state) as desk:
        query = query_of(state, **wanted)
        count = desk.call("POST", purging, body={**query, "dryRun": True})["deleted"]
        if dry_run:
            click.echo(f"Would remove {_counted(count, 'delivery', 'deliveries')}.", err=True)
            return
        if count and not quiet and sys.stdin.isatty():
            some = _counted(count, "delivery", "deliveries")
            question = f"Remove {some} with all attempts?"
            if not click.confirm(question, default=False, err=True):
                raise Refused("Nothing was removed: the answer was no.")
        gone = 0
        while True:
            answer = desk.call("POST", purging, body=query)
            gone += answer["deleted"]
            if not answer["more"]:
                break
    click.echo(f"Removed {_counted(gone, 'delivery', 'deliveries')}.", err=True)


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"
