"""The name somebody probably meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.nearest import mistakes, nearest


@pytest.mark.parametrize(
    ("name", "known", "answer"),
    [
        ("lsit", ["list", "logs"], "list"),
        ("taskcount", ["taskCount", "template"], "taskCount"),
        ("nighty", ["nightly", "daily"], "nightly"),
        ("weekly", ["nightly", "daily"], None),
        ("x", ["y"], None),
        ("a", [], None),
        ("", ["a"], None),
        ("same", ["same", "sane"], "same"),
    ],
)
def test_a_close_name_is_offered_and_a_far_one_is_not(
    name: str, known: list[str], answer: str | None
) -> None:
    assert nearest(name, known) == answer


@given(st.text(max_size=8), st.text(max_size=8))
def test_mistakes_count_the_same_both_ways_and_are_none_for_equals(a: str, b: str) -> None:
    assert mistakes(a, b) == mistakes(b, a)
    assert (mistakes(a, b) == 0) == (a == b)
