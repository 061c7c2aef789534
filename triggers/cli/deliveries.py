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
    from jobrunner.cli.output import emit, table
    from triggers.cli.desk import desk_of, pages, path_to

    with desk_of(state) as desk:
        query = query_of(state, **wanted)
        found = list(pages(desk, path_to(ROOM), ROOM, query, limit))
    if not found and form == "table":
        click.echo("There are no such deliveries.", err=True)
        return
    headers = ["DELIVERY", "STATE", "SOURCE", "TARGET", "ATTEMPTS", "CREATED", "REASON"]
    emit(form, lambda: found, lambda: table(headers, [_line(one) for one in found]))


def _source(one: Document) -> str:
    return f"{one['source']} {one['sourceName']}".strip()


def _line(one: Document) -> list[str]:
    if "damaged" in one:
        return [one["uid"], one["state"], _source(one), "", "", "", one["damaged"]]
    return [
        one["uid"],
        one["state"],
        _source(one),
        _place(one["target"]),
        str(one["attempts"] + one.get("unknownEnds", 0)),
        _local(one["createTime"]),
        one.get("reason", ""),
    ]


@deliveries.command(examples=("jobrunner deliveries describe 0197-…",))
@click.argument("delivery", metavar="DELIVERY")
@read_format
@with_state
def describe(state: State, delivery: str, form: str) -> None:
    """Show one delivery with all its attempts."""
    from jobrunner.cli.output import emit
    from triggers.cli.desk import desk_of, path_to

    with desk_of(state) as desk:
        found = desk.call("GET", path_to(ROOM, delivery))
    emit(form, lambda: found, lambda: _described(found))
    if form == "table" and found["state"] == "DEAD" and "replayedBy" not in found:
        click.echo(f"Send it again: jobrunner deliveries replay {delivery}", err=True)


def _described(one: Document) -> str:
    from jobrunner.cli.output import pairs, table

    text = pairs(
        [
            ("Delivery", one["uid"]),
            ("State", one["state"]),
            ("Reason", one.get("reason", "")),
            ("Source", _source(one)),
            ("Key", one["key"]),
            ("Order key", one.get("orderKey", "")),
            ("Target", _called(one["calls"])),
            ("Created", _local(one["createTime"])),
            ("Not before", _local(one.get("notBefore"))),
            ("Settled", _local(one.get("settleTime"))),
            ("Attempts", str(one["attempts"])),
            ("Unknown ends", str(one.get("unknownEnds", ""))),
            ("Execution", one.get("execution", "")),
            ("Replays", one.get("parent", "")),
            ("Replayed by", one.get("replayedBy", "")),
            ("Held by", one.get("holder", "")),
        ]
    )
    if not one["attemptLog"]:
        return text
    rows = [
        [
            str(attempt["number"]),
            _local(attempt["startTime"]),
            str(attempt.get("status", "")),
            _ruled(attempt, one["state"]),
            _came(attempt),
        ]
        for attempt in one["attemptLog"]
    ]
    return f"{text}\n{table(['ATTEMPT', 'STARTED', 'STATUS', 'RULING', 'WHAT CAME'], rows)}"


def _ruled(attempt: Document, state: str) -> str:
    """What followed from the attempt."""
    if attempt["ruling"] != "retry":
        return str(attempt["ruling"])
    at = attempt.get("retryTime")
    if at:
        return f"again at {_local(at)}"
    return "given up" if state in {"DEAD", "EXPIRED"} else "retry"


def _came(attempt: Document) -> str:
    """What went wrong, or the beginning of the answer: its status has a column of its own."""
    error = attempt.get("error", "")
    answer = " ".join(attempt.get("answer", "").split())[:120]
    if answer and error == f"HTTP {attempt.get('status')}":
        return answer
    return error or answer


def _place(target: str) -> str:
    return _by_name(f"http://{target.removesuffix(':80')}", target)


def _by_name(url: str, otherwise: str | None = None) -> str:
    """A service that goes by its name has no address before it is called."""
    from triggers.core.service_urls import read_pending_url

    pending = read_pending_url(url)
    if pending is None:
        return url if otherwise is None else otherwise
    scope, name, path = pending
    return f"service {name} ({scope.region}){f', {path}' if path else ''}"


def _called(calls: Document) -> str:
    if "httpTarget" in calls:
        return f"{calls['httpTarget']['httpMethod']} {_by_name(calls['httpTarget']['uri'])}"
    if "jobTarget" in calls:
        job = calls["jobTarget"]
        place = f"{job['project']}, {job['region']}"
        return f"job {job['job']} ({place}), acknowledged on {job['acknowledgedOn']}"
    return str(calls["pubsubTarget"]["topicName"])


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
    from triggers.cli.desk import desk_of, path_to
    from triggers.cli.naming import DELIVERY, flags_named

    body = _order(state, url, job, flags)
    with desk_of(state) as desk, flags_named(DELIVERY):
        found = desk.call("POST", path_to(ROOM), body=body)
    emit(form, lambda: found, lambda: f"{found['uid']}\n")
    if not desk.served:
        click.echo("It waits for a server: jobrunner serve", err=True)


def _order(state: State, url: str | None, job: str | None, flags: Document) -> Document:
    from jobrunner.core.quantities import format_duration

    ctx = click.get_current_context()
    if (url is None) is (job is None):
        raise click.UsageError("Name a URL, or a job by --job.", ctx=ctx)

    def text(name: str) -> str | None:
        value = flags[name]
        return format_duration(value) if isinstance(value, float) else value

    scope = state.scope()
    order: Document = {
        "project": scope.project,
        "region": scope.region,
        "key": flags["key"],
        "orderKey": flags["order_key"],
        "delay": text("delay"),
        "retry": _present(
            {
                "retryCount": flags["max_retry_attempts"],
                "maxRetryDuration": text("max_retry_duration"),
                "minBackoff": text("min_backoff"),
                "maxBackoff": text("max_backoff"),
                "maxDoublings": flags["max_doublings"],
            }
        ),
    }
    http_only = (
        "data", "data_file", "http_method", "attempt_deadline", "oidc_service_account_email",
        "oidc_token_audience",
    )  # fmt: skip
    if job is not None:
        given = [name for name in http_only if flags[name] is not None]
        if given or flags["headers"]:
            name = (given or ["header"])[0].replace("_", "-")
            raise click.UsageError(f"--{name} does not go with --job.", ctx=ctx)
        order["job"] = _present({"name": job, "acknowledgedOn": flags["acknowledge"]})
        return _present(order)
    if flags["acknowledge"] is not None:
        raise click.UsageError("--acknowledge goes with --job only.", ctx=ctx)
    order["http"] = _present(
        {
            "url": url,
            "method": flags["http_method"] and flags["http_method"].upper(),
            "headers": _headers(flags["headers"]),
            "body": _body(flags),
            "attemptDeadline": text("attempt_deadline"),
            "serviceAccount": flags["oidc_service_account_email"],
            "audience": flags["oidc_token_audience"],
        }
    )
    return _present(order)


def _headers(texts: tuple[str, ...]) -> dict[str, str]:
    headers = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"'{text}' is not 'NAME: VALUE'", param_hint="--header")
        headers[name.strip()] = value.strip()
    return headers


def _body(flags: Document) -> str | None:
    from base64 import b64encode

    if flags["data"] is not None and flags["data_file"] is not None:
        ctx = click.get_current_context()
        raise click.UsageError("--data and --data-file exclude each other.", ctx=ctx)
    if flags["data_file"] is not None:
        data: bytes = flags["data_file"].read()
    elif flags["data"] is not None:
        data = flags["data"].encode("utf-8", "surrogateescape")
    else:
        return None
    return b64encode(data).decode()


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
    from triggers.cli.desk import desk_of, path_to

    more = _present({"rate": rate}) | {"dryRun": dry_run}
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
    rows = [[one["parent"], one.get("uid", ""), _local(one["notBefore"])] for one in found]
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


def _local(text: str | None) -> str:
    from jobrunner.cli.words import time_text
    from jobrunner.core.timestamps import parse_time

    return time_text(parse_time(text)) if text else ""


def _present(fields: Document) -> Document:
    return {name: value for name, value in fields.items() if value is not None}
