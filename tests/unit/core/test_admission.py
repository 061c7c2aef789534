"""Slots and memory are bounded and shared fairly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.admission import Ask, Capacity, admit


def test_one_execution_gets_what_it_wants_up_to_the_free_slots() -> None:
    assert admit([Ask("a", 10_000, 0)], Capacity(64)) == {"a": 64}
    assert admit([Ask("a", 3, 60)], Capacity(4)) == {"a": 3}


def test_nothing_is_granted_without_a_free_slot() -> None:
    assert admit([Ask("a", 5, 64)], Capacity(0)) == {}


def test_ten_thousand_waiting_tasks_do_not_starve_three() -> None:
    asks = [Ask("big", 9_990, 64, order=1), Ask("small", 3, 0, order=2)]
    assert admit(asks, Capacity(1)) == {"small": 1}
    assert admit(asks, Capacity(3)) == {"small": 3}


def test_equal_executions_get_equal_shares() -> None:
    asks = [Ask(name, 100, 0, order=i) for i, name in enumerate("abcd")]
    assert admit(asks, Capacity(64)) == dict.fromkeys("abcd", 16)


def test_memory_is_reserved_per_attempt() -> None:
    asks = [Ask("a", 10, 0, memory=3 * 1024**3)]
    assert admit(asks, Capacity(64, memory=10 * 1024**3)) == {"a": 3}


def test_a_big_task_that_does_not_fit_keeps_the_memory_for_itself() -> None:
    asks = [Ask("big", 1, 0, memory=8), Ask("small", 10, 4, memory=1)]
    assert admit(asks, Capacity(64, memory=4)) == {}


def test_a_process_needs_no_memory_and_is_not_kept_back_by_a_big_container() -> None:
    asks = [Ask("big", 1, 0, memory=8), Ask("process", 10, 4)]
    assert admit(asks, Capacity(6, memory=4)) == {"process": 6}


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 4)),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 64),
    st.one_of(st.none(), st.integers(0, 100)),
)
def test_a_grant_never_exceeds_slots_memory_or_the_wish(
    rows: list[tuple[int, int, int]], slots: int, memory: int | None
) -> None:
    asks = [Ask(str(i), w, live, m, order=i) for i, (w, live, m) in enumerate(rows)]
    granted = admit(asks, Capacity(slots, memory))
    by_name = {ask.execution: ask for ask in asks}
    assert sum(granted.values()) <= slots
    assert all(0 < count <= by_name[name].wanted for name, count in granted.items())
    if memory is not None and len(asks) > 1:
        assert sum(by_name[n].memory * c for n, c in granted.items()) <= memory
    if memory is None:
        assert sum(granted.values()) == min(slots, sum(ask.wanted for ask in asks))
