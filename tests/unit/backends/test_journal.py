"""The journal says what must be known after the writer's death, whatever its last moment was."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.backends.supervisor import journal
from jobrunner.backends.supervisor.journal import Book, Ended, Journal, Started
from jobrunner.backends.supervisor.protocol import Exit


def exit_of(key: str, code: int = 0) -> Exit:
    return Exit(key, code, None, 0.1, 0.2, 4096, 10.0, 11.0, None, 5, 0)


def x(key: str, code: int = 0) -> str:
    return f"X {json.dumps(exit_of(key, code))}\n"


def read(path: Path, text: str) -> Book:
    path.write_text(text)
    return journal.read(str(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_a_missing_journal_is_empty(path: Path) -> None:
    assert journal.read(str(path)) == Book({}, {})


def test_what_was_started_is_open_with_its_process(path: Path) -> None:
    book = read(path, "S a b\nP a 12 345\n")
    assert book == Book({"a": Started(12, 345), "b": Started(0, 0)}, {})


def test_an_end_closes_what_was_started_and_keeps_its_process(path: Path) -> None:
    book = read(path, "S a b\nP a 12 345\n" + x("a", 7))
    assert book.started == {"b": Started(0, 0)}
    assert book.ended == {"a": Ended(Started(12, 345), exit_of("a", 7))}


def test_a_failed_start_and_an_acknowledged_end_are_forgotten(path: Path) -> None:
    assert read(path, "S a b\nF a\n" + x("b") + "A b\n") == Book({}, {})


def test_a_key_may_be_started_again_after_it_failed(path: Path) -> None:
    assert read(path, "S a\nF a\nS a\n").started.keys() == {"a"}


def test_a_full_disk_leaves_the_journal_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Journal(str(path))
    writer.append(["S a\n"])
    whole = os.write

    def half(fd: int, data: bytes) -> int:
        return whole(fd, data[: len(data) // 2])

    monkeypatch.setattr(journal.os, "write", half)
    with pytest.raises(OSError, match="only in part"):
        writer.append(["P a 12 345\n"])
    monkeypatch.undo()
    assert path.read_text() == "S a\n"
    writer.append(["F a\n"])
    assert path.read_text() == "S a\nF a\n"


def test_rewriting_replaces_the_content_and_goes_on_behind_it(path: Path) -> None:
    writer = Journal(str(path))
    writer.append(["S a\n", "S b\n"])
    writer.rewrite(["S b\n"])
    writer.append([x("b")])
    book = journal.read(str(path))
    assert not book.started
    assert book.ended.keys() == {"b"}


KEYS = st.sampled_from([f"e-{n}/{n}/0" for n in range(6)])


@st.composite
def histories(draw: st.DrawFn) -> list[str]:
    """Lines as a supervisor could write them."""
    lines: list[str] = []
    state: dict[str, str] = {}
    for key in draw(st.lists(KEYS, max_size=40)):
        now = state.get(key, "")
        if now == "":
            lines.append(f"S {key}\n")
            state[key] = "S"
        elif now == "S":
            failed = draw(st.booleans())
            lines.append(f"F {key}\n" if failed else f"P {key} 7 8\n")
            state[key] = "" if failed else "P"
        elif now == "P":
            lines.append(x(key, draw(st.integers(0, 3))))
            state[key] = "X"
        else:
            lines.append(f"A {key}\n")
            state[key] = ""
    return lines


def plain(book: Book) -> tuple[set[str], set[str]]:
    return set(book.started), set(book.ended)


@given(histories(), st.data())
def test_a_journal_cut_anywhere_reads_as_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "journal"
    text = "".join(lines)
    cut = data.draw(st.integers(0, len(text)))
    whole = text[:cut].rpartition("\n")
    assert read(path, text[:cut]) == read(path, whole[0] + whole[1])


@given(histories())
def test_every_key_is_open_or_ended_or_forgotten_as_its_last_line_says(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    last: dict[str, str] = {}
    for line in lines:
        kind = line[0]
        key = exit_key(line) if kind == "X" else line.split()[1]
        last[key] = kind
    path = tmp_path_factory.mktemp("last") / "journal"
    started, ended = plain(read(path, "".join(lines)))
    assert started == {key for key, kind in last.items() if kind in "SP"}
    assert ended == {key for key, kind in last.items() if kind == "X"}


def exit_key(line: str) -> str:
    key = json.loads(line[2:])[0]
    assert isinstance(key, str)
    return key


def test_lines_that_a_crash_of_the_machine_spoilt_are_passed_over(path: Path) -> None:
    spoilt = 'P a 12\n\0\0\0\nX [1,\nX {}\nX ["c"]\nX 7\n'
    book = read(path, f"S a b c\nP b 7 8\n{spoilt}")
    assert book == Book({"a": Started(0, 0), "b": Started(7, 8), "c": Started(0, 0)}, {})
