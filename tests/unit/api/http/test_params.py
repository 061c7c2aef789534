"""Parameters of a call: text in, typed values out, every mistake named."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.params import (
    flag,
    only,
    page_after,
    page_size,
    page_token,
    required,
    whole,
)
from jobrunner.errors import InvalidSpec


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("1", True), ("false", False), ("False", False), ("0", False)],
)
def test_a_flag_is_read_as_json_and_as_python_write_it(text: str, value: bool) -> None:
    assert flag({"validateOnly": text}, "validateOnly") is value


def test_absent_and_empty_mean_the_default() -> None:
    for params in ({}, {"x": ""}):
        assert flag(params, "x", default=True) is True
        assert whole(params, "x", 7) == 7
        assert page_size(params, "x") == 100
        assert page_after(params, name="x") is None


def test_a_page_size_of_zero_means_the_default_and_a_large_one_is_cut() -> None:
    assert page_size({"pageSize": "0"}) == 100
    assert page_size({"pageSize": "5000"}) == 1000
    assert page_size({"pageSize": "3"}) == 3


@pytest.mark.parametrize(
    "text", ["-1", "1.5", "ten", "+1", "1_0", "٣", "1e3", "9" * 40, "2147483648"]
)
def test_a_bad_page_size_is_refused_by_name_and_value(text: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        page_size({"pageSize": text})
    (violation,) = refused.value.violations
    assert violation.field == "pageSize"
    assert text[:20] in violation.message


def test_an_unknown_parameter_is_refused_in_the_words_of_the_contract() -> None:
    only({"project": "p", "jobId": "j"}, "project", "jobId")
    with pytest.raises(InvalidSpec) as refused:
        only({"project": "p", "jbId": "j"}, "project", "jobId")
    assert 'Unknown name "jbId": Cannot bind query parameter.' in refused.value.message


def test_a_required_parameter_may_not_be_empty() -> None:
    assert required({"jobId": "j"}, "jobId") == "j"
    for params in ({}, {"jobId": ""}):
        with pytest.raises(InvalidSpec, match="jobId"):
            required(params, "jobId")


@given(st.text().filter(str.isprintable), st.lists(st.text()))
def test_a_page_token_comes_back_as_it_was(after: str, bound: list[str]) -> None:
    assert page_after({"pageToken": page_token(after, *bound)}, *bound) == after


def test_a_page_token_belongs_to_its_parameters() -> None:
    with pytest.raises(InvalidSpec, match="other parameters"):
        page_after({"pageToken": page_token("x", "p", "r")}, "p", "s")


@given(st.text(min_size=1))
def test_any_other_page_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidSpec, match="pageToken"):
        page_after({"pageToken": token})


READERS: list[Callable[[str], object]] = [
    lambda text: flag({"x": text}, "x"),
    lambda text: whole({"x": text}, "x", 0, least=-5),
    lambda text: page_size({"x": text}, "x"),
]


@given(st.sampled_from(READERS), st.text())
def test_a_reader_answers_or_refuses_and_never_breaks(
    read: Callable[[str], object], text: str
) -> None:
    with contextlib.suppress(InvalidSpec):
        read(text)
