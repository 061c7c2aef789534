"""The state machines of the trigger layer are tables; these are their rules in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.core.states import (
    DELIVERIES,
    OCCURRENCES,
    SETTLED_DELIVERIES,
    SETTLED_OCCURRENCES,
    DeliveryEvent,
    DeliveryState,
    OccurrenceEvent,
    OccurrenceState,
    step,
    step_occurrence,
)
from triggers.errors import IllegalTransition

S, E = DeliveryState, DeliveryEvent

# The design's table, cell by cell, written a second time on purpose.
DESIGN = """
PENDING: claimed SENDING, withdrawn CANCELLED, aged_out EXPIRED
SENDING: accepted DELIVERED, retryable PENDING, exhausted DEAD, rejected DEAD
SENDING: lease_expired PENDING, withdrawn CANCELLED, following FOLLOWING
FOLLOWING: accepted DELIVERED, retryable PENDING, exhausted DEAD, rejected DEAD
FOLLOWING: withdrawn CANCELLED
"""

histories = st.lists(st.sampled_from(list(E)), max_size=40)


def cells() -> dict[tuple[str, str], str]:
    found = {}
    for line in DESIGN.strip().splitlines():
        state, _, events = line.partition(": ")
        for event in events.split(", "):
            name, target = event.split()
            found[state, name] = target
    return found


def test_the_table_is_the_design_s_table() -> None:
    coded = {(str(state), str(event)): str(after) for (state, event), after in DELIVERIES.items()}
    assert coded == cells()


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("event", list(E))
def test_an_empty_cell_raises_and_names_state_and_event(
    state: DeliveryState, event: DeliveryEvent
) -> None:
    if (str(state), str(event)) in cells():
        assert step(state, event) == cells()[str(state), str(event)]
        return
    with pytest.raises(IllegalTransition, match=f"{state} cannot take {event}"):
        step(state, event)


def test_a_settled_delivery_takes_no_event() -> None:
    assert not {state for state, _ in DELIVERIES} & SETTLED_DELIVERIES


def test_every_delivery_can_still_be_settled() -> None:
    reaches = set(SETTLED_DELIVERIES)
    for _ in S:
        reaches |= {state for (state, _), after in DELIVERIES.items() if after in reaches}
    assert reaches == set(S)


@given(histories)
def test_whatever_happens_a_delivery_is_settled_at_most_once(history: list[DeliveryEvent]) -> None:
    state, settled = S.PENDING, 0
    for event in history:
        before = state
        try:
            state = step(state, event)
        except IllegalTransition:
            assert state is before
            continue
        settled += state in SETTLED_DELIVERIES
    assert settled <= 1


@given(histories)
def test_a_request_is_sent_only_by_who_claimed_the_delivery(history: list[DeliveryEvent]) -> None:
    state = S.PENDING
    for event in history:
        try:
            after = step(state, event)
        except IllegalTransition:
            continue
        if after is S.SENDING:
            assert event is E.CLAIMED
        if after is S.FOLLOWING:
            assert state is S.SENDING
        state = after


def test_an_occurrence_is_admitted_once_and_closed_once() -> None:
    opened = step_occurrence(OccurrenceState.WAITING, OccurrenceEvent.ADMITTED)
    assert opened is OccurrenceState.OPEN
    assert step_occurrence(opened, OccurrenceEvent.ENDED) is OccurrenceState.CLOSED
    with pytest.raises(IllegalTransition, match="OPEN cannot take admitted"):
        step_occurrence(opened, OccurrenceEvent.ADMITTED)


def test_what_was_left_out_or_has_ended_stays_so() -> None:
    assert not {state for state, _ in OCCURRENCES} & SETTLED_OCCURRENCES
    for state in SETTLED_OCCURRENCES:
        for event in OccurrenceEvent:
            with pytest.raises(IllegalTransition):
                step_occurrence(state, event)
