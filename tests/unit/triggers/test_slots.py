"""What may be on the wire, what waits for a slot, and how many are claimed ahead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.service.slots import MOST_AHEAD, MOST_PLACES, SLOW, Slots

NOW = 1000.0


def quick(place: str = "a", *, in_flight: int = 8, per_place: int = 2) -> Slots[str]:
    """A millisecond lies between the ends of its calls."""
    slots = Slots[str](in_flight, per_place)
    for number in range(100):
        slots.put(place, "x")
        assert slots.take() == "x"
        slots.free(place, NOW + number / 1000)
    return slots


LATER = NOW + 0.099


def test_a_place_that_nothing_is_known_of_gets_none_ahead() -> None:
    slots = Slots[str](8, 2)
    for item in "12":
        slots.put("a", item)
        slots.take()
    room = slots.room(NOW)
    assert (room.most, room.per_place, room.busy) == (6, 2, {"a": 2})


def test_a_quick_place_gets_ahead_what_it_gets_through_in_a_fiftieth_of_a_second() -> None:
    slots = quick()
    assert slots.room(LATER).busy == {"a": -19}


def test_a_place_that_has_not_answered_for_a_while_gets_none_ahead_any_more() -> None:
    slots = quick()
    assert slots.room(LATER + 0.01).busy == {"a": -2}
    assert slots.room(LATER + 0.05).busy == {"a": 0}


def test_ends_of_a_slow_place_that_come_together_do_not_make_it_quick() -> None:
    slots = Slots[str](8, 4)
    for number in range(10):
        for _ in range(2):
            slots.put("a", "x")
            slots.take()
            slots.free("a", NOW + 10 * number)
    assert slots.room(NOW + 90).busy == {"a": 0}


def test_nobody_gets_more_ahead_than_the_most() -> None:
    slots = Slots[str](8, 2)
    for _ in range(200):
        slots.put("a", "x")
        slots.take()
        slots.free("a", NOW)
    assert slots.room(NOW).busy == {"a": -MOST_AHEAD}


def test_when_all_slots_are_taken_only_quick_places_get_more() -> None:
    slots = quick(in_flight=4, per_place=2)
    for place in ("a", "b"):
        for item in "12":
            slots.put(place, item)
            slots.take()
    room = slots.room(LATER)
    assert room.per_place == 0
    assert room.most == -room.busy["a"] > 0
    assert room.busy["b"] == 0


def test_places_take_turns_and_a_place_keeps_its_order() -> None:
    slots = Slots[str](4, 4)
    for item in ("a1", "a2", "a3", "b1", "b2"):
        slots.put(item[0], item)
    assert [slots.take() for _ in range(5)] == ["a1", "b1", "a2", "b2", None]
    slots.free("b", NOW)
    assert slots.take() == "a3"


def test_what_was_withdrawn_before_it_was_sent_leaves_no_trace() -> None:
    slots = Slots[str](1, 1)
    for item in "12":
        slots.put("a", item)
    assert slots.take() == "1"
    slots.withdraw("a", "2")
    with pytest.raises(ValueError, match="not in"):
        slots.withdraw("a", "1")
    slots.free("a", NOW)
    assert slots.take() is None


def test_places_that_are_idle_are_forgotten_when_they_are_many() -> None:
    slots = Slots[str](8, 2)
    for number in range(2 * MOST_PLACES):
        slots.put(f"p{number}", "x")
        slots.take()
        slots.free(f"p{number}", NOW)
    assert slots.room(NOW + 2 * SLOW).busy == {}


STEPS = st.lists(
    st.tuples(st.sampled_from("ptfw"), st.sampled_from("abc"), st.floats(0, 0.01)), max_size=200
)


@given(STEPS, st.integers(1, 6), st.integers(1, 4))
def test_whatever_happens_the_bounds_hold_and_nothing_is_lost(
    steps: list[tuple[str, str, float]], in_flight: int, per_place: int
) -> None:
    slots = Slots[str](in_flight, per_place)
    ready: list[str] = []
    wire: list[str] = []
    now = NOW
    for number, (what, place, pause) in enumerate(steps):
        now += pause
        if what == "p":
            slots.put(place, item := f"{place}{number}")
            ready.append(item)
        elif what == "t":
            taken = slots.take()
            if taken is not None:
                ready.remove(taken)
                wire.append(taken)
            else:
                full = {name for name in "abc" if _count(wire, name) >= per_place}
                assert len(wire) == in_flight or {item[0] for item in ready} <= full
        elif what == "f" and wire:
            slots.free(wire.pop(0)[0], now)
        elif what == "w" and ready:
            slots.withdraw(ready[0][0], ready.pop(0))
        assert (slots.wire, slots.ready) == (len(wire), len(ready))
        assert len(wire) <= in_flight
        assert all(_count(wire, name) <= per_place for name in "abc")


def _count(items: list[str], place: str) -> int:
    return sum(item[0] == place for item in items)
