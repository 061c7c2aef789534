"""``jobrunner subscriptions``: messages of Pub/Sub that call a URL or start a job.

Through the server of the home or of ``JOBRUNNER_ENDPOINT``; in the home itself where none runs.
"""

from __future__ import annotations

from typing import Any

import click

from jobrunner.cli.asking import quiet_option
from jobrunner.cli.base import Group, State, read_format, with_state
from triggers.cli.desk import desk_of
from triggers.cli.rooms import Room, limit_option
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
ROOM = Room("subscriptions", "subscription", "Nothing comes in")
SETTINGS = (
    "topic", "subscription", "httpTarget", "jobTarget", "intake", "accepts", "sends", "filter",
    "acknowledge", "ackDeadlineSeconds", "messageRetentionDuration", "retryPolicy",
    "deadLetterPolicy", "enableMessageOrdering", "enableExactlyOnceDelivery", "senderToken",
    "backlog", "labels",
)  # fmt: skip

name_argument = click.argument("name", metavar="SUBSCRIPTION")


def settings(document: Document) -> Document:
    """What people set of a subscription, but for its push token."""
    return {key: document[key] for key in SETTINGS if key in document}


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
        made = ROOM.store(state, desk, None, name, _with_token(spec, token))
        click.echo(f"Created subscription '{name}'.", err=True)
        tell_url(made, token)
        ROOM.hint_of_server(desk.served)


@subscriptions.command(
    examples=("jobrunner subscriptions update orders --dead-letter-topic dead --push-token",)
)
@name_argument
@options(SOURCE, TARGET, JOB, POLICY, SENDER, CLEARING)
@with_state
def update(state: State, name: str, **flags: Any) -> None:
    """Change what is given; the rest stays. What was taken in goes on as it was."""
    with desk_of(state) as desk:
        old = ROOM.found(state, desk, name)
        spec, token = merged(settings(old), state.scope(), flags), push_token(flags)
        made = ROOM.store(state, desk, old, name, _with_token(spec, token))
        click.echo(f"Updated subscription '{name}'.", err=True)
        if token:
            tell_url(made, token)


@subscriptions.command("list", examples=("jobrunner subscriptions list --format json",))
@limit_option
@read_format
@with_state
def list_(state: State, limit: int | None, form: str) -> None:
    """List subscriptions by name."""
    from triggers.cli.subscriptions_views import subscriptions_table

    ROOM.show_all(state, form, subscriptions_table, limit)


@subscriptions.command(examples=("jobrunner subscriptions describe orders",))
@name_argument
@read_format
@with_state
def describe(state: State, name: str, form: str) -> None:
    """Show a subscription, where to push to, and what came in."""
    from jobrunner.cli.output import emit
    from triggers.cli.subscriptions_views import subscription_text

    with desk_of(state) as desk:
        one = ROOM.found(state, desk, name)
    emit(form, lambda: one, lambda: subscription_text(one))


@subscriptions.command(examples=("jobrunner subscriptions delete orders --quiet",))
@click.argument("names", metavar="SUBSCRIPTION...", nargs=-1, required=True)
@quiet_option
@with_state
def delete(state: State, names: tuple[str, ...], quiet: bool) -> None:
    """Delete subscriptions. What they have taken in goes on."""
    ROOM.delete(state, names, "its counts", quiet)


@subscriptions.command(examples=("jobrunner subscriptions pause orders",))
@name_argument
@with_state
def pause(state: State, name: str) -> None:
    """Take nothing more in; Pub/Sub keeps it. What was taken in goes on."""
    ROOM.act(state, name, "pause")
    click.echo(f"Subscription '{name}' is paused.", err=True)


@subscriptions.command(examples=("jobrunner subscriptions resume orders",))
@name_argument
@with_state
def resume(state: State, name: str) -> None:
    """Take messages in again."""
    _, served = ROOM.act(state, name, "resume")
    click.echo(f"Subscription '{name}' is active.", err=True)
    ROOM.hint_of_server(served)


def _with_token(spec: Document, token: str | None) -> Document:
    return spec if token is None else {**spec, "pushToken": token}
