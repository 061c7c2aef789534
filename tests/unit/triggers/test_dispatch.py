"""The dispatcher: what it does with each answer, and with everything that comes between."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from jobrunner.core.states import ExecutionState
from jobrunner.errors import StoreFault
from tests.support.deliveries import NOW, TTL, a_delivery
from tests.support.dispatching import Bench, breathe, run_end
from triggers.core.records import (
    Ack,
    HttpTarget,
    JobTarget,
    PushRetry,
    Ruling,
    ScheduleRetry,
    SourceKind,
)
from triggers.core.states import DeliveryEvent as Event
from triggers.core.states import DeliveryState as State
from triggers.core.verdict import Answer, Break, Broken
from triggers.ports import Claims, DeliveryFilter
from triggers.service import moves

RETRY = ScheduleRetry(retry_count=2, min_backoff=5.0, max_backoff=60.0)
JOB = JobTarget("job", ack=Ack.ON_SUCCESS)


def keys(bench: Bench) -> list[str]:
    return [key for key, _ in bench.sender.calls]


async def test_an_accepted_delivery_is_delivered_with_its_attempt_on_record() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    bench.sender.answers["1"] = [Answer(204)]
    await bench.turns()
    found = bench.store.get(one.uid)
    assert (found.state, found.attempts, found.settled_at) == (State.DELIVERED, 1, NOW)
    assert (found.last_status, found.lease_owner, found.reason) == (204, None, "HTTP 204")
    (attempt,) = bench.store.attempts(one.uid)
    assert (attempt.number, attempt.status, attempt.ruling) == (1, 204, Ruling.ACCEPT)
    assert (attempt.excerpt, attempt.error, attempt.ended_at) == (b"said", "", NOW)


async def test_a_retryable_answer_comes_again_after_its_back_off_until_it_is_exhausted() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery(retry=RETRY))
    bench.sender.answers["1"] = [Answer(500), Broken(Break.CONNECT), Answer(503)]
    assert await bench.turns() == NOW + 5
    waiting = bench.store.get(one.uid)
    assert (waiting.state, waiting.not_before) == (State.PENDING, NOW + 5)
    assert waiting.reason == "HTTP 500; retry 1 after 5s"
    bench.clock.advance(4.9)
    await bench.turns()
    assert bench.sender.calls == [("1", 1)]
    bench.clock.advance(0.1)
    assert await bench.turns() == NOW + 15
    bench.clock.advance(10)
    await bench.turns()
    dead = bench.store.get(one.uid)
    assert bench.sender.calls == [("1", 1), ("1", 2), ("1", 3)]
    assert (dead.state, dead.attempts) == (State.DEAD, 3)
    assert dead.reason == "HTTP 503; retryCount 2 is used up"
    attempts = bench.store.attempts(one.uid)
    assert [attempt.retry_at for attempt in attempts] == [NOW + 5, NOW + 15, None]
    assert [attempt.error for attempt in attempts] == ["HTTP 500", "no connection", "HTTP 503"]
    assert [attempt.broken for attempt in attempts] == [None, Break.CONNECT, None]


async def test_a_rejected_delivery_is_dead_at_once() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    bench.sender.answers["1"] = [Broken(Break.FORBIDDEN)]
    await bench.turns()
    assert bench.store.get(one.uid).state is State.DEAD


async def test_a_sender_that_breaks_costs_one_attempt_and_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    one, other = bench.store.open(a_delivery("1")), bench.store.open(a_delivery("2"))
    bench.sender.answers |= {"1": [RuntimeError("bug")], "2": [Answer(200)]}
    await bench.turns()
    assert bench.store.get(one.uid).state is State.PENDING
    assert bench.store.get(one.uid).reason.startswith("the call broke: RuntimeError")
    assert bench.store.get(other.uid).state is State.DELIVERED
    assert "broke" in caplog.text


async def test_no_more_is_on_the_wire_than_allowed_in_all_and_to_each_target() -> None:
    bench = Bench(in_flight=6, per_target=4)
    for number in range(30):
        host = "a" if number % 10 else f"b{number}"
        bench.store.open(a_delivery(str(number), target=HttpTarget(f"http://{host}.example.com")))
    while bench.store.count(DeliveryFilter()).get(State.PENDING):
        await bench.turns(count=1)
        flying = [bench.store.get(uid) for uid in bench.sender.waiting]
        assert len(flying) <= 6
        assert sum("//a." in one.target.url for one in flying) <= 4  # type: ignore[union-attr]
        bench.sender.finish(flying[0].uid)
        await breathe()
    assert bench.sender.most == 6


async def test_a_key_keeps_its_order_through_retries() -> None:
    bench = Bench()
    for number in range(3):
        bench.store.open(a_delivery(str(number), order_key="k", retry=RETRY))
        bench.sender.answers[str(number)] = [Answer(500), Answer(200)]
    for _ in range(10):
        await bench.turns()
        bench.clock.advance(5)
    assert keys(bench) == ["0", "0", "1", "1", "2", "2"]


async def test_the_pause_of_a_push_subscription_grows_and_holds_up_what_failed() -> None:
    bench = Bench()
    fields = {"source": SourceKind.SUBSCRIPTION, "retry": PushRetry()}
    for key in "ab":
        bench.store.open(a_delivery(key, **fields))
        bench.sender.answers[key] = [Answer(500), Answer(200)]
    await bench.turns()
    due = sorted(one.not_before - NOW for one in bench.store.listing(DeliveryFilter()))
    assert due == pytest.approx([0.1, 0.2])


# ---------------------------------------------------------------- runs


async def test_a_job_acknowledged_on_start_is_delivered_when_its_execution_is_there() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery(target=JobTarget("job")))
    bench.sender.answers["1"] = [run_end("e1")]
    await bench.turns()
    found = bench.store.get(one.uid)
    assert (found.state, found.execution) == (State.DELIVERED, "e1")
    assert found.reason == "execution e1 was started"


async def test_a_delivery_follows_its_run_without_a_slot_and_is_tried_again_when_it_fails() -> None:
    bench = Bench(in_flight=1)
    one = bench.store.open(a_delivery(target=JOB, retry=RETRY))
    bench.runner.start("e1")
    bench.sender.answers["1"] = [run_end("e1"), run_end("e2")]
    await bench.turns()
    found = bench.store.get(one.uid)
    assert (found.state, found.execution, found.lease_owner) == (State.FOLLOWING, "e1", None)
    assert bench.store.attempts(one.uid) == []
    assert bench.dispatcher.in_flight == 0
    bench.runner.end("e1", ExecutionState.FAILED)
    await breathe()
    await bench.turns()
    found = bench.store.get(one.uid)
    assert (found.state, found.run_try, found.attempts) == (State.PENDING, 1, 1)
    assert found.not_before == NOW + 5
    (attempt,) = bench.store.attempts(one.uid)
    assert (attempt.execution, attempt.error) == ("e1", "execution e1 failed")
    bench.runner.start("e2")
    bench.clock.advance(5)
    await bench.turns()
    bench.runner.end("e2", ExecutionState.SUCCEEDED)
    await breathe()
    await bench.turns()
    found = bench.store.get(one.uid)
    assert (found.state, found.run_try, found.execution) == (State.DELIVERED, 1, "e2")


async def test_the_last_failed_run_hangs_on_the_dead_letter() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery(target=JOB, retry=ScheduleRetry()))
    bench.sender.answers["1"] = [run_end("e1", ExecutionState.FAILED)]
    await bench.turns()
    found = bench.store.get(one.uid)
    assert (found.state, found.execution, found.run_try) == (State.DEAD, "e1", 1)


async def test_a_run_that_was_cancelled_is_not_wanted_again() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery(target=JOB))
    bench.sender.answers["1"] = [run_end("e1", ExecutionState.CANCELLED)]
    await bench.turns()
    assert bench.store.get(one.uid).state is State.DEAD


async def test_a_run_that_was_removed_before_its_end_makes_a_dead_letter() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery(target=JOB))
    bench.runner.start("e1")
    bench.sender.answers["1"] = [run_end("e1")]
    await bench.turns()
    bench.runner.remove("e1")
    await breathe()
    await bench.turns()
    found = bench.store.get(one.uid)
    assert found.state is State.DEAD
    assert "removed before its end was seen" in found.reason


async def test_what_a_dead_runner_followed_is_followed_by_the_next() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery(target=JOB))
    bench.runner.start("e1")
    bench.sender.answers["1"] = [run_end("e1")]
    await bench.turns()
    successor = bench.another("successor")
    await bench.turns(successor)
    bench.runner.end("e1", ExecutionState.SUCCEEDED)
    await breathe()
    await bench.turns(successor)
    assert bench.store.get(one.uid).state is State.DELIVERED
    await bench.turns()
    assert len(bench.store.attempts(one.uid)) == 1, "both saw the end, one of them wrote it"


# ---------------------------------------------------------------- leases


async def test_a_lease_is_kept_as_long_as_the_call_lasts() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    rival = bench.another("rival")
    for _ in range(10):
        await bench.turns()
        await bench.turns(rival)
        bench.clock.advance(5)
    assert bench.sender.calls == [("1", 1)]
    bench.sender.finish(one.uid)
    await breathe()
    await bench.turns()
    assert bench.store.get(one.uid).state is State.DELIVERED


async def test_what_a_runner_held_that_stopped_is_sent_again_and_counted_apart() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery(retry=ScheduleRetry()))
    await bench.turns()
    first = bench.sender.waiting.pop(one.uid)
    bench.clock.advance(TTL)
    successor = bench.another("successor")
    await bench.turns(successor)
    assert bench.sender.calls == [("1", 1), ("1", 2)]
    found = bench.store.get(one.uid)
    assert (found.unknown, found.attempts, found.lease_owner) == (1, 0, "successor")
    (attempt,) = bench.store.attempts(one.uid)
    assert (attempt.ruling, attempt.ended_at) == (None, None)
    first.cancel()
    bench.sender.finish(one.uid)
    await breathe()
    await bench.turns(successor)
    found = bench.store.get(one.uid)
    assert (found.state, found.attempts, found.unknown) == (State.DELIVERED, 1, 1)


async def test_after_three_attempts_of_unknown_end_a_fourth_is_not_sent_again() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    for number in range(5):
        await bench.turns(bench.another(f"runner {number}"))
        bench.sender.waiting.pop(one.uid, None)
        bench.clock.advance(TTL)
    found = bench.store.get(one.uid)
    assert len(bench.sender.calls) == 4
    assert (found.state, found.unknown) == (State.DEAD, 4)
    assert "4 attempts of unknown end" in found.reason


async def test_a_runner_of_this_machine_that_is_gone_is_not_waited_for() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    await bench.turns()
    bench.sender.waiting.pop(one.uid)
    await bench.turns(bench.another("successor", gone=lambda name: name == "runner"))
    assert bench.sender.calls == [("1", 1), ("1", 2)]


async def test_a_runner_that_stood_still_cannot_write_over_its_successor() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    await bench.turns()
    frozen = bench.sender.waiting.pop(one.uid)
    bench.clock.advance(TTL)
    successor = bench.another("successor")
    await bench.turns(successor)
    bench.sender.waiting[one.uid], frozen = frozen, bench.sender.waiting[one.uid]
    bench.sender.finish(one.uid, Answer(200))
    await breathe()
    await bench.turns()
    found = bench.store.get(one.uid)
    assert (found.state, found.lease_owner) == (State.SENDING, "successor")
    frozen.cancel()


async def test_a_process_that_stood_still_after_its_claim_sends_nothing() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    await bench.dispatcher.turn()
    bench.clock.advance(TTL)
    await breathe()
    assert bench.sender.calls == []
    await bench.turns()
    assert bench.sender.calls == [("1", 1)]
    assert bench.store.get(one.uid).unknown == 0


async def test_a_claim_whose_answer_was_lost_is_found_by_the_next_heartbeat() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    bench.store.claim("runner", now=NOW, ttl=TTL, most=1, per_place=1, busy={})
    await bench.turns()
    assert bench.sender.calls == [("1", 2)]
    assert bench.store.get(one.uid).unknown == 1


# ---------------------------------------------------------------- stores and ends


async def test_a_store_that_is_away_loses_no_end() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    await bench.turns()
    bench.sender.finish(one.uid)
    await breathe()
    good = bench.dispatcher._commit

    async def away(work: object) -> object:
        raise StoreFault("The disk is full.")

    bench.dispatcher._commit = away  # type: ignore[assignment]
    for _ in range(3):
        with pytest.raises(StoreFault):
            await bench.dispatcher.turn()
    bench.dispatcher._commit = good
    await bench.turns()
    assert bench.store.get(one.uid).state is State.DELIVERED


async def test_what_lands_while_a_turn_waits_for_its_commit_is_not_taken_for_lost() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    await bench.turns()
    good = bench.dispatcher._commit

    async def slow(work: object) -> object:
        bench.sender.finish(one.uid)
        await breathe()
        return await good(work)  # type: ignore[arg-type]

    bench.dispatcher._commit = slow  # type: ignore[assignment]
    bench.clock.advance(5)
    await bench.dispatcher.turn()
    bench.dispatcher._commit = good
    await bench.turns()
    found = bench.store.get(one.uid)
    assert (found.state, found.unknown) == (State.DELIVERED, 0)


async def test_nothing_is_claimed_while_the_server_goes_down() -> None:
    bench = Bench()
    bench.store.open(a_delivery())
    bench.runner.open = False
    await bench.turns()
    assert bench.sender.calls == []


async def test_a_withdrawn_delivery_stays_withdrawn_whatever_the_answer() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery())
    await bench.turns()
    bench.store.record([moves.withdrawn(bench.store.get(one.uid), NOW, "me")])
    bench.sender.finish(one.uid)
    await breathe()
    await bench.turns()
    found = bench.store.get(one.uid)
    assert (found.state, found.reason) == (State.CANCELLED, "withdrawn by me")


async def test_a_call_that_was_withdrawn_is_broken_off_with_the_next_heartbeat() -> None:
    bench = Bench(in_flight=1)
    one = bench.store.open(a_delivery("1"))
    await bench.turns()
    bench.store.record([moves.withdrawn(bench.store.get(one.uid), NOW, "me")])
    bench.clock.advance(5)
    await bench.turns()
    assert bench.sender.waiting == {}
    bench.store.open(a_delivery("2"))
    await bench.turns()
    assert keys(bench) == ["1", "2"]


async def test_a_runner_that_lost_its_lease_and_holds_the_same_again_writes_the_later_end() -> None:
    bench = Bench()
    one = bench.store.open(a_delivery(retry=RETRY))
    await bench.turns()
    stale = bench.sender.waiting.pop(one.uid)
    bench.clock.advance(TTL)
    bench.sender.answers["1"] = [Answer(500)]
    await bench.turns(bench.another("successor"))
    bench.clock.advance(5)
    await bench.turns()
    assert stale.cancelled()
    assert list(bench.sender.waiting) == [one.uid]
    bench.clock.advance(5)
    await bench.turns()
    assert bench.store.get(one.uid).unknown == 1
    bench.sender.finish(one.uid)
    await breathe()
    await bench.turns()
    found = bench.store.get(one.uid)
    assert (found.state, found.attempts, found.unknown) == (State.DELIVERED, 2, 1)


async def test_what_is_too_old_is_dropped_unsent() -> None:
    bench = Bench()
    push = PushRetry(retention=600.0)
    fields = {"source": SourceKind.SUBSCRIPTION, "retry": push, "not_before": NOW + 9999}
    one = bench.store.open(a_delivery(**fields))
    bench.clock.advance(600)
    await bench.turns()
    assert bench.store.get(one.uid).state is State.EXPIRED
    assert bench.sender.calls == []


async def test_a_loop_sends_at_once_when_told_to_look_and_gives_up_what_it_holds_at_its_end() -> (
    None
):
    bench = Bench()
    loop = asyncio.ensure_future(bench.dispatcher.run())
    await breathe()
    one, other = bench.store.open(a_delivery("1")), bench.store.open(a_delivery("2"))
    bench.sender.answers["1"] = [Answer(200)]
    bench.dispatcher.look()
    await breathe()
    await breathe()
    assert bench.store.get(one.uid).state is State.DELIVERED
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    found = bench.store.get(other.uid)
    assert (found.state, found.unknown, found.lease_owner) == (State.PENDING, 1, None)


async def test_what_comes_back_in_the_last_moment_is_stored() -> None:
    bench = Bench()
    loop = asyncio.ensure_future(bench.dispatcher.run())
    one = bench.store.open(a_delivery())
    bench.dispatcher.look()
    await breathe()
    loop.cancel()
    await breathe()
    bench.sender.finish(one.uid)
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert bench.store.get(one.uid).state is State.DELIVERED


def test_every_move_gives_the_lease_up_and_says_why() -> None:
    sending = replace(
        a_delivery(), state=State.SENDING, lease_owner="x", lease_until=NOW, last_attempt_at=NOW
    )
    for move in (
        moves.followed(sending, "uid", "e"),
        moves.lost(sending, NOW),
        moves.unsent(sending, NOW),
        moves.withdrawn(sending, NOW, ""),
    ):
        assert move.after.lease_owner is None
        assert move.after.reason
    assert moves.lost(sending, NOW).event is Event.LEASE_EXPIRED
    assert Claims().taken == ()


# ---------------------------------------------------------------- claimed ahead


async def a_quick_place(bench: Bench) -> None:
    """Sends and ends enough for the dispatcher to see how quick it is."""
    for number in range(60):
        key = f"warm {number}"
        bench.store.open(a_delivery(key))
        bench.sender.answers[key] = [Answer(200)]
    while bench.store.count(DeliveryFilter()).get(State.DELIVERED, 0) < 60:
        await bench.turns(count=1)
    bench.sender.calls.clear()


async def test_a_slot_that_falls_free_at_a_quick_place_is_used_before_the_next_commit() -> None:
    bench = Bench(per_target=2)
    await a_quick_place(bench)
    opened = [bench.store.open(a_delivery(str(number))) for number in range(5)]
    await bench.turns(count=1)
    assert keys(bench) == ["0", "1"]
    assert bench.dispatcher.in_flight == 2
    bench.sender.finish(opened[0].uid)
    await breathe()
    assert keys(bench) == ["0", "1", "2"]


async def test_what_was_claimed_ahead_and_not_sent_is_given_back_uncounted_at_the_end() -> None:
    bench = Bench(per_target=1)
    await a_quick_place(bench)
    first, second = (bench.store.open(a_delivery(key)) for key in "12")
    loop = asyncio.ensure_future(bench.dispatcher.run())
    await breathe()
    assert bench.store.get(second.uid).state is State.SENDING
    loop.cancel()
    await breathe()
    bench.sender.finish(first.uid)
    with pytest.raises(asyncio.CancelledError):
        await loop
    found = bench.store.get(second.uid)
    assert (found.state, found.unknown, found.attempts) == (State.PENDING, 0, 0)
    assert bench.store.get(first.uid).state is State.DELIVERED
    assert keys(bench) == ["1"]


async def test_what_was_claimed_ahead_is_given_back_when_no_slot_falls_free() -> None:
    bench = Bench(per_target=1)
    await a_quick_place(bench)
    first, second = (bench.store.open(a_delivery(key)) for key in "12")
    await bench.turns(count=1)
    assert bench.store.get(second.uid).state is State.SENDING
    bench.clock.advance(5)
    await bench.turns(count=1)
    assert bench.store.get(second.uid).state is State.PENDING
    assert bench.store.get(second.uid).unknown == 0
    assert bench.store.get(first.uid).state is State.SENDING


async def test_what_was_claimed_ahead_is_not_sent_when_its_lease_ran_out() -> None:
    bench = Bench(per_target=1)
    await a_quick_place(bench)
    first, second = (bench.store.open(a_delivery(key)) for key in "12")
    await bench.turns(count=1)
    bench.clock.advance(TTL)
    bench.sender.finish(first.uid)
    await breathe()
    assert keys(bench) == ["1"]
    await bench.turns()
    assert keys(bench) == ["1", "2"]
    assert bench.store.get(second.uid).unknown == 0


async def test_what_was_withdrawn_while_it_was_claimed_ahead_is_not_sent_after_a_heartbeat() -> (
    None
):
    bench = Bench(per_target=1, beat=0.5)
    await a_quick_place(bench)
    first, second = (bench.store.open(a_delivery(key)) for key in "12")
    await bench.turns(count=1)
    bench.store.record([moves.withdrawn(bench.store.get(second.uid), NOW, "me")])
    bench.clock.advance(0.5)
    await bench.turns(count=1)
    bench.sender.finish(first.uid)
    await breathe()
    await bench.turns()
    assert keys(bench) == ["1"]
    assert bench.store.get(second.uid).state is State.CANCELLED


async def test_a_server_that_goes_down_while_a_turn_is_committed_knows_what_it_has_claimed() -> (
    None
):
    bench = Bench(per_target=1)
    first, second = (bench.store.open(a_delivery(key)) for key in "12")
    loop = asyncio.ensure_future(bench.dispatcher.run())
    await breathe()
    slow = asyncio.Event()

    async def apart(work: Callable[[], object]) -> object:
        done = work()
        await slow.wait()
        return done

    bench.dispatcher._apart = apart  # type: ignore[assignment]
    third = bench.store.open(a_delivery("3", target=HttpTarget("http://other.example.com")))
    bench.dispatcher.look()
    await breathe()
    assert bench.store.get(third.uid).state is State.SENDING
    loop.cancel()
    await breathe()
    assert not loop.done()
    slow.set()
    with pytest.raises(asyncio.CancelledError):
        await loop
    states = [bench.store.get(one.uid).state for one in (first, second, third)]
    assert states == [State.PENDING] * 3
    assert all(bench.store.get(one.uid).lease_owner is None for one in (first, second, third))
