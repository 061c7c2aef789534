"""``jobrunner tokens``: who may call the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobrunner.cli.base import Group, State, read_format, with_state
from jobrunner.cli.params import DURATION

if TYPE_CHECKING:
    from jobrunner.app import App
    from jobrunner.core.records import Token
    from jobrunner.service.tokens import Tokens

ROLES = ("viewer", "invoker", "admin")


@click.group(cls=Group)
def tokens() -> None:
    """Create, list and revoke the tokens that callers of the server need."""


@tokens.command(
    examples=(
        "jobrunner tokens create ci --role invoker --expires 90d",
        "export JOBRUNNER_TOKEN=$(jobrunner tokens create me --role admin)",
    )
)
@click.argument("name", metavar="NAME")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What its bearer may do.")
@click.option(
    "--expires", type=DURATION, metavar="DURATION", help="Ends it after so long  [default: never]."
)
@read_format
@with_state
def create(state: State, name: str, role: str, expires: float | None, form: str) -> None:
    """Make a token and print it, this once. Only its hash is kept."""
    from jobrunner.calls import Role
    from jobrunner.cli.output import emit
    from jobrunner.cli.words import time_text

    with state.app() as app:
        token, text = service(app).create(name, Role[role.upper()], lifetime=expires)
    emit(form, lambda: {**document(token), "token": text}, lambda: f"{text}\n")
    until = f" It expires at {time_text(token.expires_at)}." if token.expires_at else ""
    click.echo(f"Token '{name}' ({role}) was made; it is not shown again.{until}", err=True)


@tokens.command("list", examples=("jobrunner tokens list --all --format json",))
@click.option("--all", "everything", is_flag=True, help="The expired and revoked ones too.")
@read_format
@with_state
def list_(state: State, everything: bool, form: str) -> None:
    """List tokens by name: role, age, last use; never the tokens themselves."""
    from jobrunner.cli.output import emit

    with state.app() as app:
        now = app.machine.now()
        rows = [token for token in service(app).list() if everything or token.lives(now)]
    if not rows and form == "table":
        click.echo("No tokens.", err=True)
        return
    emit(form, lambda: [document(token) for token in rows], lambda: tokens_table(rows, now))


@tokens.command(examples=("jobrunner tokens revoke ci",))
@click.argument("name", metavar="NAME")
@with_state
def revoke(state: State, name: str) -> None:
    """End a token. A running server refuses it within a second."""
    with state.app() as app:
        service(app).revoke(name)
    click.echo(f"Token '{name}' was revoked.", err=True)


def service(app: App) -> Tokens:
    from jobrunner.service.tokens import Tokens

    return Tokens(app.store, app.machine, app.ids, actor=app.settings.user)


def document(token: Token) -> dict[str, object]:
    from jobrunner.calls import Role
    from jobrunner.cli.words import rfc3339

    return {
        "name": token.name,
        "role": Role(token.role).name.lower(),
        "creator": token.creator,
        "createdAt": rfc3339(token.created_at),
        "expiresAt": rfc3339(token.expires_at),
        "lastUsedAt": rfc3339(token.last_used_at),
        "revokedAt": rfc3339(token.revoked_at),
    }


def tokens_table(tokens: list[Token], now: float) -> str:
    from jobrunner.calls import Role
    from jobrunner.cli.output import table
    from jobrunner.cli.words import age_text, time_text

    def state_of(token: Token) -> str:
        if token.revoked_at is not None:
            return "revoked"
        return "valid" if token.lives(now) else "expired"

    return table(
        ["NAME", "ROLE", "STATE", "CREATED", "EXPIRES", "LAST USED"],
        [
            [
                token.name,
                Role(token.role).name.lower(),
                state_of(token),
                f"{age_text(now - token.created_at)} ago",
                "never" if token.expires_at is None else time_text(token.expires_at),
                "" if token.last_used_at is None else f"{age_text(now - token.last_used_at)} ago",
            ]
            for token in tokens
        ],
    )
