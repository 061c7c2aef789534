"""One rule of admission for every source, and the bugs of others that it must not have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.core.overlap import Action, Admission, admit, default_overlap, release
from triggers.core.records import HttpTarget, JobTarget, Overlap, OverlapScope, PubsubTarget


def test_a_call_queues_one_by_default_and_a_job_may_overlap() -> None:
    assert default_overlap(HttpTarget("http://x")) is Overlap.QUEUE_ONE
    assert default_overlap(PubsubTarget("projects/p/topics/t")) is Overlap.QUEUE_ONE
    assert default_overlap(JobTarget("nightly")) is Overlap.ALLOW


@pytest.mark.parametrize("policy", list(Overlap))
def test_with_nothing_open_every_policy_opens(policy: Overlap) -> None:
    assert admit(policy, 1, []).action is Action.OPEN


@pytest.mark.parametrize(
    ("policy", "waiting", "action"),
    [
        (Overlap.ALLOW, [], Action.OPEN),
        (Overlap.FORBID, [], Action.SKIP),
        (Overlap.QUEUE_ONE, [], Action.WAIT),
        (Overlap.QUEUE_ONE, ["b"], Action.SKIP),
        (Overlap.QUEUE_ALL, ["b", "c"], Action.WAIT),
        (Overlap.REPLACE, [], Action.WAIT),
    ],
)
def test_with_one_open_the_policy_decides(
    policy: Overlap, waiting: list[str], action: Action
) -> None:
    assert admit(policy, 1, ["a"], waiting).action is action


def test_every_answer_says_why() -> None:
    assert admit(Overlap.FORBID, 1, ["a"]).reason == (
        "overlap forbid: 1 open of this schedule, limit 1"
    )
    words = admit(Overlap.QUEUE_ALL, 2, ["a", "b"], ["c"], OverlapScope.JOB).reason
    assert words == (
        "overlap queue-all: 2 open of the job, from any source, limit 2, 1 waiting before it"
    )
    assert "one waits already" in admit(Overlap.QUEUE_ONE, 1, ["a"], ["b"]).reason


def test_replace_cancels_the_oldest_drops_who_waits_and_starts_after_they_have_ended() -> None:
    answer = admit(Overlap.REPLACE, 2, ["a", "b"], ["c"])
    assert answer == Admission(
        Action.WAIT,
        "overlap replace: 2 open of this schedule, limit 2; starts when what it replaces has ended",
        cancels=("a",),
        drops=("c",),
    )


def test_a_limit_that_was_lowered_makes_replace_cancel_as_many_as_are_too_many() -> None:
    assert admit(Overlap.REPLACE, 1, ["a", "b", "c"]).cancels == ("a", "b", "c")


# Scenarios of other schedulers' users.


def test_a_run_that_lasts_eight_periods_is_never_joined_by_another() -> None:
    """dkron#452, forbid."""
    for _ in range(8):
        assert admit(Overlap.FORBID, 1, ["long"]).action is Action.SKIP
    assert admit(Overlap.FORBID, 1, []).action is Action.OPEN


def test_after_the_old_run_is_settled_the_next_fire_starts() -> None:
    """dkron#349: forbid, and the runner was restarted during a run."""
    assert admit(Overlap.FORBID, 1, []).action is Action.OPEN


def test_as_many_start_as_have_ended() -> None:
    """kestra#13211, #13743: limit 2, others queued; one was killed, and two started."""
    assert release(2, 1, ["c", "d", "e"]) == ("c",)
    assert release(2, 2, ["c", "d", "e"]) == ()
    assert release(2, 3, ["c"]) == ()


def test_a_restarted_run_queues_like_any_other_when_the_limit_is_reached() -> None:
    """kestra#7880."""
    assert admit(Overlap.QUEUE_ALL, 1, ["running"], ["waiting"]).action is Action.WAIT


def test_what_must_not_start_is_left_out_at_once_and_never_parked() -> None:
    """prefect#16984, #21060."""
    answer = admit(Overlap.FORBID, 1, ["a"])
    assert (answer.action, answer.cancels, answer.drops) == (Action.SKIP, (), ())


def test_a_run_by_hand_counts_when_the_clock_fires() -> None:
    """sdk-typescript#1594."""
    assert admit(Overlap.FORBID, 1, ["by hand"]).action is Action.SKIP
    assert admit(Overlap.QUEUE_ONE, 1, ["by hand"]).action is Action.WAIT


def test_who_comes_while_others_wait_does_not_overtake_them() -> None:
    answer = admit(Overlap.QUEUE_ALL, 2, ["a"], ["b"])
    assert answer.action is Action.WAIT


def test_who_waits_for_room_that_is_there_takes_no_place_in_the_queue() -> None:
    """A runner that stood still sees the end of one and the next that is due at once."""
    answer = admit(Overlap.QUEUE_ONE, 1, [], ["b"])
    assert answer == Admission(
        Action.WAIT, "overlap queue-one: 0 open of this schedule, limit 1, 1 waiting before it"
    )
    assert admit(Overlap.QUEUE_ONE, 2, ["a"], ["b"]).action is Action.WAIT
    assert admit(Overlap.QUEUE_ONE, 2, ["a"], ["b", "c"]).action is Action.SKIP


policies = st.sampled_from(list(Overlap))
steps = st.lists(st.sampled_from(["fire", "end"]), max_size=60)


@given(policies, st.integers(1, 4), steps)
def test_whatever_fires_and_ends_the_limit_holds_and_nothing_is_forgotten(
    policy: Overlap, limit: int, history: list[str]
) -> None:
    running: list[str] = []
    waiting: list[str] = []
    stopping: set[str] = set()
    settled: set[str] = set()
    for number, event in enumerate(history):
        name = f"run-{number}"
        if event == "fire":
            answer = admit(policy, limit, running, waiting)
            stopping |= set(answer.cancels)
            for dropped in answer.drops:
                waiting.remove(dropped)
                settled.add(dropped)
            if answer.action is Action.OPEN:
                running.append(name)
            elif answer.action is Action.WAIT:
                waiting.append(name)
            else:
                settled.add(name)
        elif running:
            ended = next((run for run in running if run in stopping), running[0])
            running.remove(ended)
            settled.add(ended)
            for freed in release(limit, len(running), waiting):
                waiting.remove(freed)
                running.append(freed)
        assert policy is Overlap.ALLOW or len(running) <= limit
        assert policy is not Overlap.QUEUE_ONE or len(waiting) <= 1
        assert policy is not Overlap.REPLACE or len(waiting) <= 1
        assert not (waiting and len(running) < limit)
    fired = {f"run-{n}" for n, event in enumerate(history) if event == "fire"}
    assert fired == set(running) | set(waiting) | settled
