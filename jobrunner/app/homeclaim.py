"""A database that others can reach belongs to one home.

Plain processes are known to the supervisor of their home, and logs are its files: a runner of
another home would take for lost what runs, and start it a second time.
"""

from __future__ import annotations

import os
import socket
import time
import uuid

from jobrunner.errors import Refused, RunnerFault
from jobrunner.lib.database import Database, DatabaseError, Session
from jobrunner.transactions import fault

FILE = "id"
_FIND = "SELECT id, path, host FROM homes"
_INSERT = "INSERT INTO homes (id, path, host, since) VALUES (?, ?, ?, ?)"
_DELETE = "DELETE FROM homes"


def claim_database(database: Database, home: str) -> None:
    """Refused if the database belongs to another home. The first home that opens it gets it."""
    mine = home_id(home)

    def work(session: Session) -> tuple[str, str] | None:
        row = session.execute(_FIND).fetchone()
        if row is None:
            session.execute(_INSERT, (mine, home, socket.gethostname(), time.time()))
            return None
        return None if row[0] == mine else (row[1], row[2])

    try:
        owner = database.read(lambda s: s.execute(_FIND).fetchone())
        if owner is not None and owner[0] == mine:
            return
        other = database.write(work)
    except DatabaseError as error:
        raise fault(error) from error
    if other is not None:
        path, host = other
        raise Refused(
            f"The database {database.place} belongs to the home {path} on {host}; this is the home"
            f" {home}. One of two homes cannot see what the other one runs.",
            hint="Use that home, or a database of your own. If that home is gone for good:"
            " jobrunner db adopt",
        )


def adopt_database(database: Database, home: str) -> None:
    """Makes ``home`` the one that the database belongs to, whoever had it before."""

    def work(session: Session) -> None:
        session.execute(_DELETE)
        session.execute(_INSERT, (home_id(home), home, socket.gethostname(), time.time()))

    try:
        database.write(work)
    except DatabaseError as error:
        raise fault(error) from error


def home_id(home: str) -> str:
    """What tells this home from all others, wherever it is moved to."""
    path = os.path.join(home, FILE)
    try:
        try:
            with open(path, encoding="ascii") as file:
                return file.read().strip()
        except FileNotFoundError:
            draft = f"{path}.{os.getpid()}"
            with open(draft, "x", encoding="ascii") as file:
                file.write(f"{uuid.uuid4()}\n")
            try:
                # Whoever is first wins; a copy over it would give a home two names.
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                os.unlink(draft)
            with open(path, encoding="ascii") as file:
                return file.read().strip()
    except (OSError, ValueError) as error:
        raise RunnerFault(f"The file {path} cannot be used: {error}.") from None
