"""Output as lines: cut, filtered, merged by time, followed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.records import Attempt, AttemptKey, Execution, Lease
from jobrunner.core.spec import ExecutionTemplate
from jobrunner.core.states import AttemptState, ExecutionState
from jobrunner.errors import Interrupted
from jobrunner.ports import LogChunk
from jobrunner.service.logs import LineCutter, LogFilter, LogLine, Logs

EVERYTHING = LogFilter()


def execution(state: ExecutionState = ExecutionState.SUCCEEDED) -> Execution:
    return Execution(
        uid="e", project="p", region="r", name="e-1", job_uid="j", job_name="job",
        job_generation=1, template=ExecutionTemplate(), task_count=3, parallelism=3,
        backend="process", state=state, lease=Lease("me", 1, 0.0),
    )  # fmt: skip


def attempt(index: int, number: int = 0, claimed_at: float = 0.0, **more: object) -> Attempt:
    ended = Attempt("e", index, number, AttemptState.SUCCEEDED, claimed_at=claimed_at)
    return replace(ended, **more)  # type: ignore[arg-type]


@dataclass
class FakeReader:
    chunks: list[LogChunk]
    open_now: set[int]
    most_open: list[int]
    position: int = 0

    def read(self) -> Iterator[LogChunk]:
        self.open_now.add(id(self))
        self.most_open.append(len(self.open_now))
        try:
            while self.position < len(self.chunks):
                self.position += 1
                yield self.chunks[self.position - 1]
        finally:
            self.open_now.discard(id(self))


@dataclass
class World:
    """A store and a log store, as much of them as reading needs."""

    attempts: list[Attempt] = field(default_factory=list)
    chunks: dict[AttemptKey, list[LogChunk]] = field(default_factory=dict)
    state: ExecutionState = ExecutionState.SUCCEEDED
    driven: bool = True
    open_now: set[int] = field(default_factory=set)
    most_open: list[int] = field(default_factory=list)
    turns: list[object] = field(default_factory=list)
    took: float = 0.0
    clock: float = 0.0
    waits: list[float] = field(default_factory=list)

    def add(self, one: Attempt, *chunks: LogChunk) -> None:
        self.attempts.append(one)
        self.chunks[one.key] = list(chunks)

    def list_attempts(self, uid: str, *, index: int | None = None) -> list[Attempt]:
        return [a for a in self.attempts if index is None or a.index == index]

    def get_execution_by_uid(self, uid: str) -> Execution:
        self.clock += self.took
        return execution(self.state)

    def expect(self, keys: Sequence[AttemptKey]) -> None:
        pass

    def reader(self, key: AttemptKey) -> FakeReader:
        return FakeReader(self.chunks[key], self.open_now, self.most_open)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        step = self.turns.pop(0)
        assert callable(step)
        step()

    def logs(self) -> Logs:
        return Logs(
            self, self, is_driven=lambda _: self.driven, sleep=self.sleep, now=lambda: 1e9,  # type: ignore[arg-type]
            monotonic=lambda: self.clock,
        )  # fmt: skip


def said(lines: Iterator[LogLine]) -> list[str]:
    return [f"{line.index}.{line.attempt} {line.text}" for line in lines]


def test_a_line_is_cut_at_its_end_and_a_last_one_without_end_is_shown_too() -> None:
    cutter = LineCutter(0, 0)
    lines = list(cutter.feed(LogChunk(1.0, 1, b"one\ntw")))
    lines += cutter.feed(LogChunk(2.0, 1, b"o\n\nthree"))
    lines += cutter.finish()
    assert [(line.data, line.at, line.ended) for line in lines] == [
        (b"one", 1.0, True), (b"two", 2.0, True), (b"", 2.0, True), (b"three", 2.0, False),
    ]  # fmt: skip


def test_the_two_streams_do_not_run_into_one_another() -> None:
    cutter = LineCutter(0, 0)
    lines = list(cutter.feed(LogChunk(1.0, 1, b"o")))
    lines += cutter.feed(LogChunk(1.0, 2, b"e\n"))
    lines += cutter.feed(LogChunk(1.0, 1, b"ut\n"))
    assert [(line.stream, line.data) for line in lines] == [(2, b"e"), (1, b"out")]


def test_what_comes_after_a_gap_does_not_continue_the_line_before_it() -> None:
    cutter = LineCutter(0, 0)
    lines = list(cutter.feed(LogChunk(1.0, 1, b"before")))
    lines += cutter.feed(LogChunk(2.0, 1, b"after\n", dropped=7))
    assert [(line.data, line.dropped) for line in lines] == [
        (b"before", 0),
        (b"", 7),
        (b"after", 0),
    ]


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_no_byte_is_lost_by_cutting(pieces: list[bytes]) -> None:
    cutter = LineCutter(0, 0)
    lines = [line for piece in pieces for line in cutter.feed(LogChunk(0.0, 1, piece))]
    lines += cutter.finish()
    again = b"".join(line.data + (b"\n" if line.ended else b"") for line in lines)
    assert again == b"".join(pieces)


def test_tasks_are_merged_by_time() -> None:
    world = World()
    world.add(attempt(0), LogChunk(1.0, 1, b"a\n"), LogChunk(4.0, 1, b"d\n"))
    world.add(attempt(1), LogChunk(2.0, 1, b"b\n"), LogChunk(3.0, 2, b"c\n"))
    assert said(world.logs().lines(execution(), EVERYTHING)) == ["0.0 a", "1.0 b", "1.0 c", "0.0 d"]


def test_merging_opens_no_more_logs_than_attempts_were_alive_at_once() -> None:
    world = World()
    for number in range(500):
        at = float(number)
        world.add(attempt(number, claimed_at=at), LogChunk(at + 0.5, 1, b"x\n" * 3))
    lines = list(world.logs().lines(execution(), EVERYTHING))
    assert len(lines) == 1500
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    assert max(world.most_open) <= 3


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (LogFilter(indices=frozenset({1})), ["1.0 b", "1.1 c"]),
        (LogFilter(attempt=1), ["1.1 c"]),
        (LogFilter(stream=2), ["1.1 c"]),
        (LogFilter(since=2.0), ["1.0 b", "1.1 c"]),
        (LogFilter(until=2.0), ["0.0 a"]),
        (LogFilter(since=2.0, until=3.0), ["1.0 b"]),
        (LogFilter(indices=frozenset({0, 1})), ["0.0 a", "1.0 b", "1.1 c"]),
    ],
)
def test_lines_are_chosen_by_task_attempt_stream_and_time(
    wanted: LogFilter, expected: list[str]
) -> None:
    world = World()
    world.add(attempt(0), LogChunk(1.0, 1, b"a\n"))
    world.add(attempt(1, 0), LogChunk(2.0, 1, b"b\n"))
    world.add(attempt(1, 1, 2.5), LogChunk(3.0, 2, b"c\n"))
    assert said(world.logs().lines(execution(), wanted)) == expected


def test_following_shows_what_is_there_what_comes_and_ends_with_the_execution() -> None:
    world = World(state=ExecutionState.RUNNING)
    running = attempt(0, state=AttemptState.RUNNING)
    world.add(running, LogChunk(1.0, 1, b"a\nhal"))

    def more() -> None:
        world.chunks[running.key].append(LogChunk(2.0, 1, b"f\n"))
        world.add(attempt(1, claimed_at=2.0), LogChunk(2.5, 1, b"other\n"))

    def end() -> None:
        world.chunks[running.key].append(LogChunk(3.0, 1, b"last"))
        world.attempts[0] = attempt(0)
        world.state = ExecutionState.SUCCEEDED

    world.turns = [more, lambda: None, end]
    lines = said(world.logs().follow(execution(), EVERYTHING))
    assert lines == ["0.0 a", "0.0 half", "1.0 other", "0.0 last"]


def test_following_goes_on_soon_after_a_server_was_long_away() -> None:
    world = World(state=ExecutionState.RUNNING, took=30.0)
    world.add(attempt(0, state=AttemptState.RUNNING))

    def quick() -> None:
        world.took = 0.0

    def end() -> None:
        world.state = ExecutionState.SUCCEEDED

    world.turns = [quick, end]
    assert said(world.logs().follow(execution(), EVERYTHING)) == []
    assert world.waits == [2.0, 0.1]


def test_following_from_the_tail_leaves_the_beginning_out() -> None:
    world = World()
    world.add(attempt(0), LogChunk(1.0, 1, b"a\nb\nc\n"))
    assert said(world.logs().follow(execution(), EVERYTHING, tail=2)) == ["0.0 b", "0.0 c"]


def test_following_an_execution_that_nobody_drives_says_how_to_continue() -> None:
    world = World(state=ExecutionState.RUNNING, driven=False)
    world.add(attempt(0, state=AttemptState.RUNNING), LogChunk(1.0, 1, b"a\n"))
    lines = world.logs().follow(execution(), EVERYTHING)
    assert next(lines).data == b"a"
    with pytest.raises(Interrupted) as caught:
        next(lines)
    assert caught.value.hint == "Continue with: jobrunner executions continue e-1"
