"""Deliveries of a real server to targets that answer badly: what is recorded and sent again."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.bad_sinks import HUGE, IDLE_SECONDS, BadSink, bad_sink
from tests.support.delivery_load import Books, Want
from tests.support.faults import kill_marked
from tests.support.served import served
from tests.support.waiting import PATIENCE, until
from triggers.core.records import (
    Delivery,
    DeliveryAttempt,
    HttpTarget,
    Ruling,
    ScheduleRetry,
    SourceKind,
)
from triggers.core.states import DeliveryState as State

DEADLINE = 3.0
ENDLESS = ["hang", "trickle", "late"]
"""What has no whole answer at its deadline; the others have all the time that they may need."""
KINDS = [*ENDLESS, "refuse", "reset", "loop", "elsewhere", "garbage", "huge"]
IDLE = 12
BODY = b'{"hello": "there"}'


@dataclass(frozen=True)
class Seen:
    """Everything after all deliveries have settled, by key."""

    sink: BadSink
    other: BadSink
    deliveries: dict[str, Delivery]
    attempts: dict[str, Sequence[DeliveryAttempt]]

    def statuses(self, key: str) -> list[int | None]:
        return [attempt.status for attempt in self.attempts[key]]

    def rulings(self, key: str) -> list[Ruling | None]:
        return [attempt.ruling for attempt in self.attempts[key]]


def a_call(url: str, key: str, at: float, *, order: str | None = None) -> Want:
    path = f"/{key}"
    deadline = DEADLINE if key in ENDLESS else PATIENCE
    delivery = Delivery(
        uid=f"uid-{key.replace('/', '-')}",
        project="local",
        region="us-central1",
        source=SourceKind.SCHEDULE,
        source_name="s",
        key=key,
        target=HttpTarget(f"{url}{path}", body=BODY, deadline=deadline),
        retry=ScheduleRetry(retry_count=1, min_backoff=0.1),
        order_key=order,
        created_at=at,
        queued_at=at,
        not_before=at,
    )
    return Want(delivery, key, path)


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    home = Path(tempfile.mkdtemp(prefix="jr-", dir="/tmp"))
    with bad_sink() as sink, bad_sink() as other, served(home, "--backend", "process"):
        sink.other = other.url.replace("127.0.0.1", "localhost")
        now = time.time()
        wants = [a_call(sink.url, kind, now) for kind in KINDS]
        # So far apart that the sink closes a connection just when it is wanted again. They go to
        # a name of their own, so that no other call keeps it busy.
        quiet = sink.url.replace("127.0.0.1", "sink.localhost")
        for number in range(IDLE):
            at = now + 1.5 + number * IDLE_SECONDS
            wants.append(a_call(quiet, f"idle/{number}", at, order="idle"))
        books = Books(f"sqlite:///{home}/jobrunner.db")
        try:
            books.open(wants)
            until(lambda: not books.unsettled(), why=books.unsettled)
            found = dict(books.deliveries())
            yield Seen(sink, other, found, {k: books.attempts(one) for k, one in found.items()})
        finally:
            books.close()
            kill_marked(str(home))


def test_an_answer_500_is_a_failed_attempt_and_is_tried_again(seen: Seen) -> None:
    assert seen.statuses("refuse") == [500, 200]
    assert seen.attempts["refuse"][0].excerpt == b"sad!"
    assert (seen.deliveries["refuse"].state, seen.sink.calls["/refuse"]) == (State.DELIVERED, 2)


@pytest.mark.parametrize("kind", ["hang", "trickle"])
def test_a_call_without_a_whole_answer_ends_at_its_deadline_and_is_made_again(
    seen: Seen, kind: str
) -> None:
    first, second = seen.attempts[kind]
    assert (first.status, second.status) == (None, 200)
    assert f"no complete answer within {DEADLINE:g} s" in first.error
    assert first.ended_at is not None
    assert DEADLINE <= first.ended_at - first.started_at < DEADLINE + 30
    assert (seen.deliveries[kind].state, seen.sink.calls[f"/{kind}"]) == (State.DELIVERED, 2)


@pytest.mark.parametrize("kind", ["reset", "garbage"])
def test_what_is_no_answer_is_a_failed_attempt_that_says_so(seen: Seen, kind: str) -> None:
    first, second = seen.attempts[kind]
    assert (first.status, second.status) == (None, 200)
    assert first.error
    assert (seen.deliveries[kind].state, seen.sink.calls[f"/{kind}"]) == (State.DELIVERED, 2)


def test_redirects_in_a_circle_are_a_failure_and_end(seen: Seen) -> None:
    found = seen.deliveries["loop"]
    assert found.state is State.DEAD
    assert "redirects" in found.reason
    assert seen.statuses("loop") == [None] * found.attempts
    assert seen.sink.calls["/loop"] <= 40


def test_a_redirect_that_keeps_the_request_brings_its_body_to_another_host(seen: Seen) -> None:
    assert seen.deliveries["elsewhere"].state is State.DELIVERED
    assert seen.statuses("elsewhere") == [200]
    verb, headers, body = seen.other.seen["/arrived"]
    assert (verb, body) == ("POST", BODY)
    assert headers["host"].startswith("localhost:")


def test_a_yes_that_comes_after_the_deadline_does_not_count_and_harms_nothing(seen: Seen) -> None:
    until(lambda: seen.sink.answered_late == ["late"])
    assert seen.rulings("late") == [Ruling.RETRY, Ruling.ACCEPT]
    assert seen.statuses("late") == [None, 200]
    assert (seen.deliveries["late"].attempts, seen.sink.calls["/late"]) == (2, 2)


def test_a_connection_that_was_closed_while_idle_costs_neither_an_attempt_nor_a_second_call(
    seen: Seen,
) -> None:
    for number in range(IDLE):
        key = f"idle/{number}"
        assert seen.statuses(key) == [200]
        assert seen.sink.calls[f"/{key}"] == 1


def test_of_a_huge_answer_the_beginning_is_kept_and_the_rest_is_left_where_it_is(
    seen: Seen,
) -> None:
    (attempt,) = seen.attempts["huge"]
    assert (attempt.status, attempt.ruling) == (200, Ruling.ACCEPT)
    assert set(attempt.excerpt) == {ord("y")}
    assert len(attempt.excerpt) <= 4096
    assert seen.sink.poured < HUGE
