"""Lists of task indices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.indices import format_indices, parse_indices


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("3,7-9", (3, 7, 8, 9)),
        ("0", (0,)),
        ("9,3,3", (3, 9)),
        ("1-3,2-4", (1, 2, 3, 4)),
        (" 1 , 2 - 3 ", (1, 2, 3)),
        ("9999", (9999,)),
        ("007", (7,)),
    ],
)
def test_indices_and_ranges_are_read_in_order_each_once(
    text: str, indices: tuple[int, ...]
) -> None:
    assert parse_indices(text) == indices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a list of task indices; write indices and ranges, as 3,7-9"),
        ("1,,2", "'1,,2' is not a list of task indices; write indices and ranges, as 3,7-9"),
        ("1-", "'1-' is not a list of task indices; write indices and ranges, as 3,7-9"),
        ("-1", "'-1' is not a list of task indices; write indices and ranges, as 3,7-9"),
        ("a", "'a' is not a list of task indices; write indices and ranges, as 3,7-9"),
        ("1-2-3", "'1-2-3' is not a list of task indices; write indices and ranges, as 3,7-9"),
        ("9-7", "'9-7' is an empty range; write 7-9"),
        ("10000", "task index 10000 is out of range; allowed: 0 to 9999"),
        ("1-99999999999999", "task index 999999999… is out of range; allowed: 0 to 9999"),
    ],
)
def test_a_bad_list_is_answered_with_its_exact_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_indices(text)
    assert str(caught.value) == message


@given(st.sets(st.integers(0, 9999), min_size=1))
def test_a_list_survives_being_written_and_read(indices: set[int]) -> None:
    assert parse_indices(format_indices(indices)) == tuple(sorted(indices))


@given(st.text(alphabet="0123456789,- x", max_size=20))
def test_any_text_is_a_list_or_a_value_error(text: str) -> None:
    try:
        found = parse_indices(text)
    except ValueError:
        return
    assert found == tuple(sorted(set(found)))


def test_no_indices_are_written_as_nothing() -> None:
    assert format_indices(()) == ""
