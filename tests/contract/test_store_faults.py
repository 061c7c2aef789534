"""What a person reads when the database cannot be used: what happened, what to do, no secrets."""

import contextlib
import os
import shutil
import socket
import sqlite3
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobrunner.errors import NotFound, StoreFault, UsageError
from jobrunner.lib.database.postgres import PostgresDatabase
from jobrunner.lib.database.sqlite import SqliteDatabase
from jobrunner.ports import Store
from jobrunner.store import open_store
from jobrunner.store.sql import SqlStore
from tests.support.stores import a_job, an_execution

SECRET = "s3cret-word"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{path}")
    yield opened
    opened.close()


def driver(store: Store) -> sqlite3.Connection:
    assert isinstance(store, SqlStore)
    assert isinstance(store._database, SqliteDatabase)
    return store._database._connection


def refusal(work: Callable[[], object]) -> StoreFault:
    with pytest.raises(StoreFault) as caught:
        work()
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    assert caught.value.exit_code == 5
    return caught.value


# ------------------------------------------------------------------------------------------ URL


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"mysql://me:{SECRET}@host/db", "mysql://… is of no known kind"),
        ("/var/lib/state.db", "(no scheme) is of no known kind"),
        ("", "(no scheme) is of no known kind"),
        ("sqlite:///state.db", "sqlite:///state.db is not an absolute path"),
        ("sqlite://state.db", "sqlite://state.db is not an absolute path"),
        (f"postgresql://me:{SECRET}@host:notaport%zz/db", "cannot be read"),
    ],
)
def test_a_url_of_another_form_is_refused_with_the_forms_that_are_allowed(
    url: str, says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url)
    assert says in caught.value.message
    assert "sqlite:////absolute/path.db" in caught.value.message or "postgresql://" in (
        caught.value.message
    )
    assert SECRET not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite://:memory:"])
def test_memory_has_several_spellings(url: str) -> None:
    store = open_store(url)
    assert store.facts()["place"] == ":memory:"
    store.close()


def test_any_character_may_stand_in_a_path(tmp_path: Path) -> None:
    strange = tmp_path / "a b%20?c#ä.db"
    open_store(f"sqlite:///{strange}").close()
    assert strange.stat().st_size > 4096


# --------------------------------------------------------------------------------------- SQLite


def test_directories_on_the_way_are_made_and_nobody_else_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "state.db"
    store = open_store(f"sqlite:///{path}")
    store.create_job(a_job())
    modes = {p.name: p.stat().st_mode & 0o077 for p in [path, *path.parent.glob("*")]}
    store.close()
    assert set(modes) >= {"state.db", "state.db-wal"}
    assert not any(modes.values())


@pytest.mark.parametrize("place", ["{tmp}/file/state.db", "/proc/state.db", "{tmp}"])
def test_a_place_that_cannot_be_written_is_named_with_the_reason(
    place: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    place = place.format(tmp=tmp_path)
    fault = refusal(lambda: open_store(f"sqlite:///{place}"))
    assert f"The database {place} cannot be opened for writing: " in fault.message
    assert fault.hint is not None
    assert "may write" in fault.hint


def test_a_file_that_is_no_database_is_said_to_be_none_and_left_alone(path: Path) -> None:
    path.write_text("Dear diary,\n" * 100)
    fault = refusal(lambda: open_store(f"sqlite:///{path}"))
    assert fault.message == f"The file {path} is not a SQLite database."
    assert path.read_text().startswith("Dear diary")


def test_a_full_disk_loses_nothing_that_was_stored_and_the_store_works_on(store: Store) -> None:
    store.create_job(a_job())
    pages = driver(store).execute("PRAGMA page_count").fetchone()[0]
    driver(store).execute(f"PRAGMA max_page_count = {pages + 2}")
    fault = refusal(lambda: store.create_execution(an_execution(tasks=10_000)))
    assert fault.message.startswith("The disk is full: the database ")
    assert store.get_job(a_job().scope, "job") == a_job()
    with pytest.raises(NotFound):
        store.get_execution(a_job().scope, "job-1")
    driver(store).execute("PRAGMA max_page_count = 1000000")
    store.create_execution(an_execution(tasks=10_000))
    assert len(store.list_tasks("uid-of-job-1")) == 10_000


def test_a_disk_too_full_even_for_reading_does_not_send_the_reader_to_the_backup(
    tmp_path: Path,
) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine mounts nothing")
    try:
        open_store(f"sqlite:///{disk}/jobs.db").close()
        with contextlib.suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
            while rest.write(bytes(4096)):
                pass
        fault = refusal(lambda: open_store(f"sqlite:///{disk}/jobs.db").list_jobs(None))
        assert fault.message.startswith("The disk is full: the database ")
        assert "backup" not in (fault.hint or "")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_file_that_may_only_be_read_is_a_fault_of_the_write(store: Store) -> None:
    driver(store).execute("PRAGMA query_only = ON")
    fault = refusal(lambda: store.create_job(a_job()))
    assert "cannot be opened for writing: attempt to write a readonly database" in fault.message
    assert store.list_jobs(None) == []


def test_a_damaged_file_sends_the_reader_to_the_backup(path: Path) -> None:
    store = open_store(f"sqlite:///{path}")
    store.create_job(a_job())
    store.create_execution(an_execution(tasks=5000))
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    fault = refusal(lambda: open_store(f"sqlite:///{path}").list_jobs(None))
    assert "cannot be read or written: database disk image is malformed" in fault.message
    assert fault.hint is not None
    assert "backup" in fault.hint


def test_a_lock_that_never_goes_away_is_a_fault_and_not_a_wait_for_ever(
    store: Store, path: Path
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    driver(store).execute("PRAGMA busy_timeout = 20")
    fault = refusal(lambda: store.create_job(a_job()))
    assert "kept locked by another process" in fault.message
    other.execute("ROLLBACK")
    other.close()
    store.create_job(a_job())


def test_a_closed_store_is_a_fault(path: Path) -> None:
    store = open_store(f"sqlite:///{path}")
    store.close()
    assert "closed" in refusal(lambda: store.list_jobs(None)).message


def test_a_document_that_was_changed_by_hand_is_a_fault(store: Store) -> None:
    store.create_job(a_job())
    driver(store).execute("UPDATE jobs SET spec = '{'")
    assert "A stored document cannot be read" in refusal(lambda: store.list_jobs(None)).message


def test_an_interrupted_transaction_is_undone(store: Store) -> None:
    assert isinstance(store, SqlStore)

    def interrupted(session: object) -> None:
        driver(store).execute("DELETE FROM jobs")
        raise KeyboardInterrupt

    store.create_job(a_job())
    with pytest.raises(KeyboardInterrupt):
        store._database.write(interrupted)
    assert store.list_jobs(None) == [a_job()]


# ----------------------------------------------------------------------------------- PostgreSQL


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    with socket.socket() as nobody:
        # Bound, so that nobody else listens there meanwhile.
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        fault = refusal(lambda: open_store(f"postgresql://me:{SECRET}@127.0.0.1:{port}/runs"))
    assert (
        f"The PostgreSQL database runs at 127.0.0.1:{port} as me cannot be reached" in fault.message
    )
    assert "refused" in fault.message
    assert fault.hint == "Check that the server runs, and host and port of the URL."


def test_a_database_that_does_not_exist_is_named(postgres_url: str) -> None:
    fault = refusal(lambda: open_store(postgres_url.rsplit("/", 1)[0] + "/nowhere"))
    assert 'database "nowhere" does not exist' in fault.message
    assert fault.hint == "Make the database first: createdb NAME"


def test_a_user_without_rights_reads_what_is_missing(fresh_postgres_url: str) -> None:
    import psycopg

    with psycopg.connect(fresh_postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN")
    try:
        fault = refusal(lambda: open_store(fresh_postgres_url.replace("jobrunner@", "guest@")))
        assert "permission denied" in fault.message
    finally:
        with psycopg.connect(fresh_postgres_url, autocommit=True) as connection:
            connection.execute("DROP ROLE guest")


@contextlib.contextmanager
def strict_server() -> Iterator[int]:
    """Speaks as much of PostgreSQL's protocol as it takes to refuse a password; gives its port."""
    told = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "me"\0\0'
    refusal = b"E" + struct.pack("!i", len(told) + 4) + told

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    while True:
                        length, code = struct.unpack("!ii", client.recv(8))
                        if code not in (80877103, 80877104):  # asks for TLS or GSS first
                            break
                        client.sendall(b"N")
                    client.recv(length)
                    client.sendall(refusal)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])


def test_a_wrong_password_is_said_to_be_wrong_and_is_not_shown() -> None:
    with strict_server() as port:
        fault = refusal(lambda: open_store(f"postgresql://me:{SECRET}@127.0.0.1:{port}/runs"))
    assert "password authentication failed" in fault.message
    assert fault.hint == "Check the user and the password of the database URL."


def test_facts_show_no_password(fresh_postgres_url: str) -> None:
    store = open_store(fresh_postgres_url.replace("jobrunner@", f"jobrunner:{SECRET}@"))
    assert SECRET not in str(store.facts())
    store.close()


def test_a_database_machine_that_vanishes_is_given_up_in_ten_seconds_or_as_the_url_says(
    fresh_postgres_url: str,
) -> None:
    for more, seconds in (("", 10.0), ("?tcp_user_timeout=3000", 3.0)):
        store = open_store(fresh_postgres_url + more)
        assert isinstance(store, SqlStore)
        assert isinstance(store._database, PostgresDatabase)
        with socket.socket(fileno=os.dup(store._database._connection.fileno())) as wire:
            option = wire.getsockopt(socket.IPPROTO_TCP, 18)  # TCP_USER_TIMEOUT, ms
            idle = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        assert (option / 1000, idle) == (seconds, 5)
        store.close()


def test_a_server_that_hung_up_is_asked_again(fresh_postgres_url: str) -> None:
    import psycopg

    store = open_store(fresh_postgres_url)
    store.create_job(a_job())
    assert isinstance(store, SqlStore)
    assert isinstance(store._database, PostgresDatabase)
    pid = store._database._connection.info.backend_pid
    with psycopg.connect(fresh_postgres_url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    store.create_job(a_job("second"))
    assert store.job_names(a_job().scope) == ["job", "second"]
    store.close()


def test_a_server_that_hangs_up_in_a_transaction_leaves_nothing_and_is_a_fault(
    fresh_postgres_url: str,
) -> None:
    store = open_store(fresh_postgres_url)
    assert isinstance(store, SqlStore)

    def hang_up(session: object) -> None:
        assert isinstance(session, PostgresDatabase)
        session.execute("INSERT INTO projects (id, number) VALUES ('x', 1)")
        session.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StoreFault) as caught:
        store._write(hang_up)
    assert "cannot be reached: " in caught.value.message
    assert store.project_number("x") != 1
    store.close()


def test_a_transaction_that_collided_is_tried_again(fresh_postgres_url: str) -> None:
    import psycopg

    store = open_store(fresh_postgres_url)
    assert isinstance(store, SqlStore)
    calls: list[int] = []

    def collide(session: object) -> int:
        calls.append(1)
        if len(calls) < 3:
            raise psycopg.errors.DeadlockDetected
        return 7

    assert store._write(collide) == 7
    assert len(calls) == 3
    store.close()
