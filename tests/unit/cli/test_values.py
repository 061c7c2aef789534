"""The grammar of flag values, as gcloud's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.cli import values


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("^:^a,b:c", ["a,b", "c"]),
        ("^--^a--b,c", ["a", "b,c"]),
        ("^;^", []),
        ("a,,b", ["a", "", "b"]),
        ("-c,exit 3", ["-c", "exit 3"]),
    ],
)
def test_a_list_is_cut_at_commas_or_at_the_delimiter_it_names(text: str, items: list[str]) -> None:
    assert values.split_list(text) == items


@given(st.lists(st.text(st.characters(exclude_characters="|"), min_size=1), min_size=1))
def test_any_items_survive_with_a_delimiter_that_none_of_them_holds(items: list[str]) -> None:
    assert values.split_list("^|^" + "|".join(items)) == items


def test_a_dictionary_splits_at_the_first_equals_sign() -> None:
    assert values.split_dict("A=1,B=x=y,C=") == {"A": "1", "B": "x=y", "C": ""}
    assert values.split_dict("^;^A=1,2;B=3") == {"A": "1,2", "B": "3"}


def test_a_repeated_flag_adds_and_the_last_value_of_a_key_wins() -> None:
    assert values.merge_dicts(["A=1,B=2", "B=3"]) == {"A": "1", "B": "3"}
    assert values.merge_lists(["a,b", "c"]) == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["A", "=1", "A=1,B", ",", " =x"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not KEY=VALUE"):
        values.split_dict(text)


@pytest.mark.parametrize("text", ["1.5", "1e3", "", " ", "٣", "0x10", "9" * 30, "--1"])
def test_only_plain_digits_are_a_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number of 0 or more"):
        values.whole_number(text, 0, None)


def test_an_instant_is_a_time_or_how_long_ago() -> None:
    assert values.instant("90s", now=1000.0) == 910.0
    assert values.instant("1970-01-01T00:10:00Z", now=0.0) == 600.0
    assert values.instant("1970-01-01T01:10:00+01:00", now=0.0) == 600.0


def test_a_secret_is_named_with_its_version() -> None:
    refs = values.secret_refs({"KEY": "projects/p/secrets/s:3", "/run/key": "s:latest"})
    assert refs == {"KEY": ("projects/p/secrets/s", "3"), "/run/key": ("s", "latest")}
