"""Statements about tokens. Each runs inside the transaction of its caller."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.core.records import Token
from jobrunner.errors import AlreadyExists, NotFound
from jobrunner.lib.database import Session
from jobrunner.store.rows import TOKEN, columns, marks, token_row

_SELECT = f"SELECT {columns(TOKEN)} FROM tokens"
_ALL = f"{_SELECT} ORDER BY name, created_at, id"
_BY_HASH = f"{_SELECT} WHERE hash = ?"
_BURY = (
    "UPDATE tokens SET revoked_at = expires_at"
    " WHERE name = ? AND revoked_at IS NULL AND expires_at <= ?"
)
_INSERT = (
    f"INSERT INTO tokens ({columns(TOKEN)}) VALUES ({marks(TOKEN)})"
    " ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING"
)
_REVOKE = (
    "UPDATE tokens SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL"
    f" RETURNING {columns(TOKEN)}"
)
_TOUCH = (
    "UPDATE tokens SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)"
)


def create(session: Session, token: Token) -> None:
    session.execute(_BURY, (token.name, token.created_at))
    if not session.execute(_INSERT, token_row(token)).rowcount:
        raise AlreadyExists(
            f"A token named {token.name!r} already exists.",
            hint=f"Revoke it first: jobrunner tokens revoke {token.name}",
        )


def listing(session: Session) -> Sequence[Token]:
    return [Token(*row) for row in session.execute(_ALL)]


def by_hash(session: Session, hash: str) -> Token | None:
    row = session.execute(_BY_HASH, (hash,)).fetchone()
    return None if row is None else Token(*row)


def revoke(session: Session, name: str, at: float) -> Token:
    rows = session.execute(_REVOKE, (at, name)).fetchall()
    if not rows:
        raise NotFound(f"There is no living token named {name!r}.")
    return Token(*rows[0])


def touch(session: Session, id: str, at: float) -> None:
    session.execute(_TOUCH, (at, id, at))
