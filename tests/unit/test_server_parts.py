"""Small parts of a server: who may come in, where it listens, who holds its home."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from jobrunner.app.doors import Doors
from jobrunner.app.faces import store_away
from jobrunner.app.homelock import HomeLock
from jobrunner.app.options import ServeOptions
from jobrunner.app.sockets import listen, port_of
from jobrunner.calls import Role
from jobrunner.errors import Refused, UsageError
from jobrunner.lib.clock import FakeClock
from jobrunner.lib.ids import CountedIds
from jobrunner.ports import Store
from jobrunner.service.tokens import Authenticator, Tokens
from jobrunner.store import open_store


@pytest.fixture
def store():  # type: ignore[no-untyped-def]
    opened = open_store("sqlite:///:memory:")
    yield opened
    opened.close()


def doors(store: Store, *, insecure: bool = False) -> Doors:
    return Doors(Authenticator(store, FakeClock()), "me", "the-key-of-the-home", insecure)


def test_without_a_token_the_owner_is_assumed_on_loopback_only(store: Store) -> None:
    mine = doors(store)(None, True)
    assert mine is not None
    assert (mine.name, mine.role) == ("me", Role.ADMIN)
    assert doors(store)(None, False) is None
    assert doors(store, insecure=True)(None, False) is not None


def test_the_key_of_the_home_opens_every_door_and_a_wrong_one_none(store: Store) -> None:
    mine = doors(store)("the-key-of-the-home", False)
    assert mine is not None
    assert mine.role is Role.ADMIN
    assert doors(store)("another-key", True) is None
    assert doors(store, insecure=True)("another-key", False) is None
    assert doors(store)("schlüssel", True) is None


def test_a_token_lets_in_under_its_own_name_and_role(store: Store) -> None:
    _, text = Tokens(store, FakeClock(), CountedIds(), actor="me").create("ci", Role.INVOKER)
    found = doors(store)(text, False)
    assert found is not None
    assert (found.name, found.role) == ("ci", Role.INVOKER)


def test_only_this_machine_is_told_where_the_database_is() -> None:
    why = "The database at db.internal cannot be reached."
    assert store_away(why, ServeOptions()) == why
    assert "db.internal" not in str(store_away(why, ServeOptions(host="0.0.0.0")))
    assert store_away(None, ServeOptions(host="0.0.0.0")) is None


def test_a_port_that_is_taken_is_refused() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(Refused, match="is taken"):
        listen("127.0.0.1", port_of(taken))


def test_a_port_is_free_again_at_once() -> None:
    with listen("127.0.0.1", 0) as first:
        port = port_of(first)
        with socket.create_connection(("127.0.0.1", port)):
            pass
    with listen("127.0.0.1", port):
        pass


def test_a_host_that_is_not_ours_is_a_wrong_use() -> None:
    with pytest.raises(UsageError, match="not an address of this machine"):
        listen("192.0.2.1", 0)


def test_a_home_is_locked_once_and_free_after_its_release(tmp_path: Path) -> None:
    held = HomeLock.take(str(tmp_path))
    with pytest.raises(Refused, match="runs already"):
        HomeLock.take(str(tmp_path))
    held.release()
    HomeLock.take(str(tmp_path)).release()
    assert os.listdir(tmp_path) == ["server.lock"]
