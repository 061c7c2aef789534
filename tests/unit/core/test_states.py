"""The attempt's state machine is a table; these are its rules in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.states import (
    ENDED,
    LIVE,
    TABLE,
    AttemptEvent,
    AttemptState,
    IllegalTransition,
    StopReason,
    step,
)

S, E = AttemptState, AttemptEvent

# The design's table, cell by cell, written a second time on purpose.
DESIGN = """
PENDING: claimed STARTING, cancel CANCELLED
STARTING: launched RUNNING, launch_failed FAILED, deadline STOPPING, cancel STOPPING, vanished LOST
RUNNING: exited_zero SUCCEEDED, exited_nonzero FAILED, deadline STOPPING, cancel STOPPING
RUNNING: vanished LOST
STOPPING: launched STOPPING, deadline STOPPING, cancel STOPPING
STOPPING: launch_failed *, exited_zero *, exited_nonzero *, vanished *
"""


def cells() -> dict[tuple[str, str], str]:
    found = {}
    for line in DESIGN.strip().splitlines():
        state, _, events = line.partition(": ")
        for event in events.split(", "):
            name, target = event.split()
            found[state, name] = target
    return found


def test_the_table_is_the_design_s_table() -> None:
    coded = {
        (str(state), str(event)): "*" if target is None else str(target)
        for (state, event), target in TABLE.items()
    }
    assert coded == cells()


@pytest.mark.parametrize("state", sorted(ENDED))
@pytest.mark.parametrize("event", list(E))
def test_an_ended_attempt_takes_no_event(state: AttemptState, event: AttemptEvent) -> None:
    with pytest.raises(IllegalTransition):
        step(state, event, StopReason.CANCEL)


@pytest.mark.parametrize(
    ("reason", "end"), [(StopReason.TIMEOUT, S.TIMED_OUT), (StopReason.CANCEL, S.CANCELLED)]
)
@pytest.mark.parametrize("event", [E.EXITED_ZERO, E.EXITED_NONZERO, E.VANISHED, E.LAUNCH_FAILED])
def test_a_stopping_attempt_ends_as_its_stored_reason_says_however_it_exits(
    reason: StopReason, end: AttemptState, event: AttemptEvent
) -> None:
    assert step(S.STOPPING, event, reason) is end


def test_a_stopping_attempt_without_a_reason_is_a_fault() -> None:
    with pytest.raises(IllegalTransition):
        step(S.STOPPING, E.EXITED_ZERO, None)


@given(st.lists(st.sampled_from(list(E)), max_size=12), st.sampled_from(list(StopReason)))
def test_every_history_goes_forward_and_ends_once(
    events: list[AttemptEvent], reason: StopReason
) -> None:
    rank = {S.PENDING: 0, S.STARTING: 1, S.RUNNING: 2, S.STOPPING: 3} | dict.fromkeys(ENDED, 4)
    state = S.PENDING
    for event in events:
        try:
            after = step(state, event, reason)
        except IllegalTransition:
            continue
        assert state not in ENDED
        assert rank[after] > rank[state] or after is state is S.STOPPING
        state = after
    assert state in ENDED or state in LIVE or state is S.PENDING
