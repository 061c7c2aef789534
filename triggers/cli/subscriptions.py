"""``jobrunner subscriptions``: messages of Pub/Sub that call a URL or start a job.

Through the server of the home or of ``JOBRUNNER_ENDPOINT``; in the home itself where none runs.
"""

from __future__ import annotations

from typing import Any

import click

from jobrunner.cli.asking import delete_all, quiet_option
from jobrunner.cli.base import Group, State, read_format, with_state
from jobrunner.cli.params import whole
from triggers.cli.desk import Desk, desk_of, pages, path_to
from triggers.cli.rooms import there
from triggers.cli.schedules_flags import options
from triggers.cli.subscriptions_flags import (
    CLEARING,
    JOB,
    POLICY,
    SENDER,
    SOURCE,
    TARGET,
    merged,
    push_token,
)

Document = dict[str, Any]
ROOM = "subscriptions"
SETTINGS = (
    "topic", "subscription", "httpTarget", "jobTarget", "intake", "accepts", "sends", "filter",
    "acknowledge", "ackDeadlineSeconds", "messageRetentionDuration", "retryPolicy",
    "deadLetterPolicy", "enableMessageOrdering", "enableExactlyOnceDelivery", "senderToken",
    "backlog", "labels",
)  # fmt: skip

name_argument = click.argument("name", metavar="SUBSCRIPTION")


def place_of(state: State) -> dict[str, str]:
    """The query that says which project and region are meant."""
    scope = state.scope()
    return {"project": scope.project, "region": scope.region}


def found(state: State, desk: Desk, name: str) -> Document:
    return desk.call("GET", path_to(ROOM, name), query=place_of(state))


def store(state: State, desk: Desk, old: Document | None, name: str, spec: Document) -> Document:
    """Makes the subscription, or puts ``spec`` in the place of ``old`` unless somebody changed
    that."""
    if old is None:
        body = {"name": name, **place_of(state), **spec}
        return desk.call("POST", path_to(ROOM), body=body)
    body = {**spec, "resourceVersion": old["resourceVersion"]}
    return desk.call("PUT", path_to(ROOM, name), query=place_of(state), body=body)


def settings(document: Document) -> Document:
    """What people set of a subscription, but for its push token."""
    return {key: document[key] for key in SETTINGS if key in document}


def hint_of_server(served: bool) -> None:
    if not served:
        click.echo("Nothing comes in while no server runs: jobrunner serve", err=True)


def tell_url(made: Document, token: str | None) -> None:
    """Where Pub/Sub is to push, for pipes and for people."""
    from urllib.parse import quote

    address = made.get("pushUrl") or made.get("pushPath")
    if address is None:
        return
    click.echo(f"{address}?token={quote(token, safe='')}" if token else address)
    if token:
        click.echo("The token is shown this once.", err=True)


@click.group(cls=Group)
def subscriptions() -> None:
    """Take messages of Pub/Sub in, and call a URL or start a job with each."""


@subscriptions.command(
    examples=(
        "jobrunner subscriptions create orders --topic orders --url http://localhost:8080/",
        "jobrunner subscriptions create reports --job report --push-token --ack finished",
    )
)
@name_argument
@options(SOURCE, TARGET, JOB, POLICY, SENDER)
@with_state
def create(state: State, name: str, **flags: Any) -> None:
    """Make a subscription. Prints the URL that Pub/Sub is to push to."""
    spec, token = merged({}, state.scope(), flags), push_token(flags)
    with desk_of(state) as desk:
        made = store(state, desk, None, name, _with_token(spec, token))
        click.echo(f"Created subscription '{name}'.", err=True)
        tell_url(made, token)
        hint_of_server(desk.served)


@subscriptions.command(
    examples=("jobrunner subscriptions update orders --dead-letter-topic dead --push-token",)
)
@name_argument
@options(SOURCE, TARGET, JOB, POLICY, SENDER, CLEARING)
@with_state
def update(state: State, name: str, **flags: Any) -> None:
    """Change what is given; the rest stays. What was taken in goes on as it was."""
    with desk_of(state) as desk:
        old = found(state, desk, name)
        spec, token = merged(settings(old), state.scope(), flags), push_token(flags)
        made = store(state, desk, old, name, _with_token(spec, token))
        click.echo(f"Updated subscription '{name}'.", err=True)
        if token:
            tell_url(made, token)


@subscriptions.command("list", examples=("jobrunner subscriptions list --format json",))
@click.option("--limit", type=whole(1), metavar="N", help="At most so many  [default: all].")
@read_format
@with_state
def list_(state: State, limit: int | None, form: str) -> None:
    """List subscriptions by name."""
    from jobrunner.cli.output import emit
    from triggers.cli.subscriptions_views import subscriptions_table

    with desk_of(state) as desk:
        rows = list(pages(desk, path_to(ROOM), ROOM, place_of(state), limit))
    if not rows and form == "table":
        click.echo("No subscriptions.", err=True)
        return
    emit(form, lambda: rows, lambda: subscriptions_table(rows))


@subscriptions.command(examples=("jobrunner subscriptions describe orders",))
@name_argument
@read_format
@with_state
def describe(state: State, name: str, form: str) -> None:
    """Show a subscription, where to push to, and what came in."""
    from jobrunner.cli.output import emit
    from triggers.cli.subscriptions_views import subscription_text

    with desk_of(state) as desk:
        one = found(state, desk, name)
    emit(form, lambda: one, lambda: subscription_text(one))


@subscriptions.command(examples=("jobrunner subscriptions delete orders --quiet",))
@click.argument("names", metavar="SUBSCRIPTION...", nargs=-1, required=True)
@quiet_option
@with_state
def delete(state: State, names: tuple[str, ...], quiet: bool) -> None:
    """Delete subscriptions. What they have taken in goes on."""
    query = place_of(state)
    with desk_of(state) as desk:
        delete_all(
            "subscription",
            "its counts",
            names,
            look=lambda name: there(desk, ROOM, name, query),
            delete=lambda name: desk.call("DELETE", path_to(ROOM, name), query=query),
            quiet=quiet,
        )


@subscriptions.command(examples=("jobrunner subscriptions pause orders",))
@name_argument
@with_state
def pause(state: State, name: str) -> None:
    """Take nothing more in; Pub/Sub keeps it. What was taken in goes on."""
    _act(state, name, "pause")
    click.echo(f"Subscription '{name}' is paused.", err=True)


@subscriptions.command(examples=("jobrunner subscriptions resume orders",))
@name_argument
@with_state
def resume(state: State, name: str) -> None:
    """Take messages in again."""
    served = _act(state, name, "resume")
    click.echo(f"Subscription '{name}' is active.", err=True)
    hint_of_server(served)


def _with_token(spec: Document, token: str | None) -> Document:
    return spec if token is None else {**spec, "pushToken": token}


def _act(state: State, name: str, verb: str) -> bool:
    with desk_of(state) as desk:
        path = f"{path_to(ROOM, name)}:{verb}"
        desk.call("POST", path, query=place_of(state), body={})
        return desk.served
