"""Lists of the command line with a row that cannot be read."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jobrunner.cli.main import main

URL = ("--url", "http://127.0.0.1:9/x")
CALLS = ("--destination-http-endpoint-uri", URL[1])
ROOMS = [
    ("schedules", ("create", "http", "{}", "--schedule", "* * * * *", "--uri", URL[1]), "delete"),
    ("queues", ("create", "{}"), "delete"),
    ("subscriptions", ("create", "{}", *URL), "delete"),
    (
        "triggers",
        ("create", "{}", "--destination-http-endpoint-uri", URL[1], "--event-filters", "type=a.b"),
        "delete",
    ),
    ("services", ("set", "{}", URL[1]), "remove"),
]


@pytest.mark.parametrize(("room", "create", "remove"), ROOMS, ids=[room for room, _, _ in ROOMS])
def test_a_damaged_row_is_shown_beside_the_others_and_can_be_removed(
    room: str,
    create: tuple[str, ...],
    remove: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("JOBRUNNER_HOME", str(tmp_path))
    for name in ("bad", "good"):
        assert main([room, *(word.format(name) for word in create)]) == 0
    table = room if room in {"schedules", "queues"} else "resources"
    column = "settings" if table == room else "document"
    [database] = tmp_path.glob("*.db")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = '{{' WHERE name = 'bad'")
    capsys.readouterr()
    assert main([room, "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["bad", "good"]
    assert "is damaged" in lines[1]
    assert "Delete it and make it again" in lines[1]
    assert main([room, remove, "bad"]) == 0
    capsys.readouterr()
    assert main([room, "list"]) == 0
    assert "bad" not in capsys.readouterr().out
