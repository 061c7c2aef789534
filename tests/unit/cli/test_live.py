"""What is shown while tasks run: counts, output of tasks, and the block on a terminal."""

import io
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from jobrunner.cli.live.board import Board, block_line, plain_line, time_left
from jobrunner.cli.live.drive import with_way_on
from jobrunner.cli.live.screen import Look, Screen
from jobrunner.cli.live.sinks import DirSink, GroupSink, NoSink, PrefixSink, RawSink, Sink
from jobrunner.cli.live.watch import Watch
from jobrunner.core.records import Attempt, AttemptKey, Counters, Execution, Task
from jobrunner.core.spec import ExecutionTemplate
from jobrunner.core.states import AttemptState, ExecutionState, TaskState
from jobrunner.errors import RunnerFault
from jobrunner.ports import LogChunk

PLAIN = Look(live=False, colour=False, unicode=False, stdout_is_terminal=False)
TERMINAL = Look(live=True, colour=False, unicode=True, stdout_is_terminal=True)


def board(succeeded: int = 0, **more: int) -> Board:
    return Board("run-1", 10, Counters(succeeded=succeeded, **more), started_at=0.0)


class Streams:
    """A screen over memory."""

    def __init__(self, look: Look = PLAIN) -> None:
        self.out, self.err = io.BytesIO(), io.BytesIO()
        self.screen = Screen(self.out, self.err, look)

    def said(self) -> tuple[bytes, bytes]:
        self.screen.flush()
        return self.out.getvalue(), self.err.getvalue()


# ---------------------------------------------------------------- counts


def test_the_time_left_is_told_from_the_pace_so_far() -> None:
    assert time_left(board(succeeded=5), now=10.0) == 10.0
    assert time_left(board(succeeded=5), now=0.5) is None
    assert time_left(board(), now=10.0) is None


def test_only_counts_that_say_something_are_shown() -> None:
    assert plain_line(board(succeeded=3, running=2), 0.0) == "run-1: 3/10 done, 2 running"
    line = plain_line(board(succeeded=3, failed=1, retried=2, cancelled=1), 10.0)
    assert line == (
        "run-1: 5/10 done, 0 running, 1 failed, 2 retried, 1 cancelled, about 10.0s left"
    )


@pytest.mark.parametrize("width", range(1, 120))
def test_the_block_never_fills_the_last_column(width: int) -> None:
    line = block_line(
        board(3, running=2, failed=1, retried=1), 5.0, width=width, colour=False, unicode=True
    )
    assert len(line) < width or width == 1


def test_on_a_narrow_terminal_a_note_matters_more_than_the_bar() -> None:
    stopping = replace(board(0, running=2), note="stopping, Ctrl-C again: at once")
    line = block_line(stopping, 5.0, width=80, colour=False, unicode=True)
    assert line.endswith("stopping, Ctrl-C again: at once")
    assert "━" not in line


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_block_says_whose_it_is(width: int) -> None:
    line = block_line(board(3, running=2), 5.0, width=width, colour=False, unicode=False)
    assert line.startswith("run-1")
    assert "3/10 done" in line
    assert "about" in line


def test_nothing_is_drawn_from_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(TERMINAL)
    monkeypatch.setattr("jobrunner.cli.live.screen.in_foreground", lambda stream: False)
    streams.screen.show("BLOCK")
    streams.screen.say("talk")
    assert streams.said() == (b"", b"talk\n")
    monkeypatch.setattr("jobrunner.cli.live.screen.in_foreground", lambda stream: True)
    streams.screen.show("BLOCK")
    streams.screen.show("")
    assert streams.said()[1] == b"talk\nBLOCK\r\x1b[K"


def test_colour_and_unicode_are_used_only_where_they_are_understood() -> None:
    fancy = block_line(board(5, failed=1), 5.0, width=200, colour=True, unicode=True)
    plain = block_line(board(5, failed=1), 5.0, width=200, colour=False, unicode=False)
    assert "\x1b[" in fancy
    assert "━" in fancy
    assert plain.isascii()
    assert "\x1b" not in plain


# ---------------------------------------------------------------- the terminal


def test_output_scrolls_above_the_block_and_never_runs_into_it() -> None:
    streams = Streams(TERMINAL)
    streams.screen.show("BLOCK")
    streams.screen.write(1, b"line\n")
    streams.screen.show("BLOCK 2")
    streams.screen.show("")
    out, err = streams.said()
    assert out == b"line\n"
    assert err == b"BLOCK\r\x1b[KBLOCK 2\r\x1b[K"


def test_a_block_that_did_not_change_is_not_drawn_again() -> None:
    streams = Streams(TERMINAL)
    for _ in range(3):
        streams.screen.show("BLOCK")
    assert streams.said() == (b"", b"BLOCK")


def test_a_block_that_the_terminal_wrapped_is_erased_on_all_of_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = Streams(TERMINAL)
    streams.screen.show("x" * 50)
    monkeypatch.setattr(streams.screen, "width", lambda: 20)
    streams.screen.show("")
    assert streams.said()[1] == b"x" * 50 + b"\r\x1b[K" + b"\x1b[1A\x1b[K" * 2


def test_off_a_terminal_there_is_no_block_and_no_escape() -> None:
    streams = Streams(PLAIN)
    streams.screen.show("BLOCK")
    streams.screen.say("talk")
    assert streams.said() == (b"", b"talk\n")


class Broken(io.BytesIO):
    def write(self, data: object) -> int:
        raise BrokenPipeError

    def fileno(self) -> int:
        raise OSError


def test_a_reader_that_went_away_silences_its_stream_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobrunner.cli.guard.silence", lambda stream: None)
    err = io.BytesIO()
    screen = Screen(Broken(), err, PLAIN)
    for _ in range(2):
        screen.write(1, b"gone\n")
        screen.say("still here")
    screen.flush()
    assert err.getvalue() == b"still here\n" * 2


# ---------------------------------------------------------------- output of tasks


def ended(index: int = 7, number: int = 0, output: int | None = None) -> Attempt:
    return Attempt("e", index, number, AttemptState.SUCCEEDED, output=output)


def feed(sink: Sink, attempt: Attempt, *chunks: tuple[int, bytes]) -> None:
    for stream, data in chunks:
        sink.chunk(attempt.key, LogChunk(0.0, stream, data))


def test_prefixed_lines_are_whole_and_bear_index_and_retry() -> None:
    streams = Streams()
    sink = PrefixSink(streams.screen)
    first, retry = ended(7), ended(8, number=1)
    feed(sink, first, (1, b"on"))
    feed(sink, retry, (1, b"retry\n"))
    feed(sink, first, (1, b"e\ntwo"), (2, b"oops\n"))
    sink.end(first)
    sink.end(retry)
    assert streams.said() == (b"[8.1] retry\n[7] one\n[7] two\n", b"[7] oops\n")


def test_a_single_task_prints_its_bytes_as_they_are() -> None:
    streams = Streams()
    sink = RawSink(streams.screen)
    feed(sink, ended(), (1, b"\x00\xff no end"), (2, b"e"))
    sink.end(ended())
    assert streams.said() == (b"\x00\xff no end", b"e")


def test_a_group_is_one_piece_without_prefix_and_ends_its_last_line() -> None:
    streams = Streams()
    sink = GroupSink(streams.screen)
    feed(sink, ended(1), (1, b"a\nb"), (2, b"e"))
    sink.end(ended(1))
    feed(sink, ended(2), (1, b"c\n"))
    sink.end(ended(2))
    assert streams.said() == (b"a\nb\nc\n", b"e\n")


def test_files_hold_the_bytes_of_the_last_attempt(tmp_path: Path) -> None:
    sink = DirSink(str(tmp_path / "made" / "here"))
    feed(sink, ended(3), (1, b"first"), (2, b"failed"))
    sink.end(ended(3))
    feed(sink, ended(3, number=1), (1, b"second"))
    sink.end(ended(3, number=1))
    files = {path.name: path.read_bytes() for path in (tmp_path / "made" / "here").iterdir()}
    assert files == {"3.out": b"second", "3.err": b""}


def test_a_directory_that_cannot_be_made_is_said_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunnerFault, match=r"--output: the directory '.*' cannot be made"):
        DirSink(str(tmp_path / "file" / "x"))


@pytest.mark.parametrize("way", [PrefixSink, GroupSink, RawSink])
def test_a_gap_is_said_on_standard_error(way: type[PrefixSink]) -> None:
    streams = Streams()
    sink = way(streams.screen)
    sink.chunk(ended().key, LogChunk(0.0, 1, b"", dropped=12345))
    sink.end(ended())
    out, err = streams.said()
    assert out == b""
    assert b"12345 bytes of output were dropped here" in err


# ---------------------------------------------------------------- the audience


class FakeLogs:
    """Logs of attempts as lists of chunks; remembers which were opened."""

    def __init__(self, chunks: dict[AttemptKey, list[LogChunk]]) -> None:
        self.chunks = chunks
        self.opened: list[AttemptKey] = []

    def expect(self, keys: Sequence[AttemptKey]) -> None:
        pass

    def reader(self, key: AttemptKey) -> "FakeLogs._Reader":
        self.opened.append(key)
        return self._Reader(self.chunks.get(key, []))

    class _Reader:
        def __init__(self, chunks: list[LogChunk]) -> None:
            self.chunks = chunks
            self.position = 0

        def read(self) -> Iterator[LogChunk]:
            while self.position < len(self.chunks):
                self.position += 1
                yield self.chunks[self.position - 1]


def execution(count: int = 2, **counters: int) -> Execution:
    return Execution(
        uid="e", project="p", region="r", name="run-1", job_uid="j", job_name="run",
        job_generation=1, template=ExecutionTemplate(), task_count=count, parallelism=2,
        backend="process", state=ExecutionState.RUNNING, counters=Counters(**counters),
    )  # fmt: skip


def watch(logs: FakeLogs, sink: Sink, screen: Screen, *, talk: bool = False) -> Watch:
    return Watch(logs, sink, screen, talk=talk)  # type: ignore[arg-type]


def test_an_attempt_without_output_costs_no_look_at_its_log() -> None:
    streams, logs = Streams(), FakeLogs({})
    with watch(logs, GroupSink(streams.screen), streams.screen) as audience:
        for index in range(100):
            audience.turn(execution(100), [], [ended(index, output=0)], [])
    audience.check()
    assert logs.opened == []


def test_everything_an_attempt_wrote_is_printed_before_the_watch_ends() -> None:
    streams = Streams()
    logs = FakeLogs({ended(i).key: [LogChunk(0.0, 1, b"%d\n" % i)] for i in range(50)})
    with watch(logs, PrefixSink(streams.screen), streams.screen) as audience:
        for index in range(50):
            audience.turn(execution(50), [], [ended(index, output=2)], [])
    audience.check()
    assert streams.said()[0] == b"".join(b"[%d] %d\n" % (i, i) for i in range(50))


def test_output_that_could_not_be_kept_is_a_fault_that_names_the_tasks() -> None:
    streams = Streams()
    logs = FakeLogs({ended(i).key: [LogChunk(0.0, 1, b"half")] for i in range(5)})
    with watch(logs, PrefixSink(streams.screen), streams.screen) as audience:
        for index in range(5):
            audience.turn(execution(5), [], [ended(index, output=8 if index in (1, 2) else 4)], [])
    with pytest.raises(RunnerFault, match="what task 1-2 wrote could not be stored"):
        audience.check()


def test_a_gap_that_was_announced_is_no_missing_output() -> None:
    streams = Streams()
    chunks = [LogChunk(0.0, 1, b"head"), LogChunk(0.0, 1, b"tail", dropped=100)]
    logs = FakeLogs({ended(0).key: chunks})
    with watch(logs, PrefixSink(streams.screen), streams.screen) as audience:
        audience.turn(execution(1), [], [ended(0, output=108)], [])
    audience.check()


def test_output_is_shown_while_the_attempt_still_runs() -> None:
    streams, shown = Streams(), threading.Event()
    running = Attempt("e", 0, 0, AttemptState.STARTING)
    logs = FakeLogs({running.key: [LogChunk(0.0, 1, b"early\n")]})

    class Noticing(PrefixSink):
        def chunk(self, key: AttemptKey, chunk: LogChunk) -> None:
            super().chunk(key, chunk)
            shown.set()

    with watch(logs, Noticing(streams.screen), streams.screen) as audience:
        audience.turn(execution(), [running], [], [])
        assert shown.wait(10)
    audience.check()
    assert streams.said()[0] == b"[0] early\n"


def test_a_few_tasks_are_told_one_by_one_and_many_are_not() -> None:
    done = Task("e", 0, TaskState.FAILED, attempts=3, exit_code=7, started_at=1.0, completed_at=3.0)
    for count, expected in (
        (2, "run-1: task 0 failed: exit code 7 in 2.0s, 3 attempts\n"),
        (500, ""),
    ):
        streams = Streams()
        with watch(FakeLogs({}), NoSink(), streams.screen, talk=True) as audience:
            audience.turn(execution(count, failed=1), [], [], [done])
        audience.check()
        told = re.sub(r"run-1: [\d,]+ tasks, 2 at once\n", "", streams.said()[1].decode())
        assert re.sub(r"run-1: 1/500 done.*\n", "", told) == expected


def test_output_that_cannot_be_written_is_an_error_after_the_run_not_during_it() -> None:
    class Full(RawSink):
        def chunk(self, key: AttemptKey, chunk: LogChunk) -> None:
            raise OSError(28, "No space left on device", "out/0.out")

    streams = Streams()
    logs = FakeLogs({ended(0).key: [LogChunk(0.0, 1, b"x")]})
    with watch(logs, Full(streams.screen), streams.screen) as audience:
        audience.turn(execution(), [], [ended(0, output=1)], [])
        audience.turn(execution(), [], [ended(1, output=0)], [])
    with pytest.raises(RunnerFault, match=r"written to out/0\.out: No space left on device"):
        audience.check()


def test_the_way_on_is_a_sentence_of_its_own() -> None:
    way = "Then go on with: jobrunner executions continue run-1"
    assert with_way_on(None, "run-1") == way
    assert with_way_on("free some space", "run-1") == f"free some space. {way}"
    assert with_way_on("Start it.", "run-1") == f"Start it. {way}"
