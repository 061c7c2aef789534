"""Label selectors."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.selectors import (
    Operator,
    Requirement,
    Selector,
    execution_labels,
    parse_selector,
    task_labels,
)
from jobrunner.core.states import ExecutionState, TaskState
from tests.support.stores import an_execution

LABELS = {"team": "x", "empty": "", "run.googleapis.com/job": "nightly"}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        ("   ", True),
        ("team", True),
        ("!team", False),
        ("! team", False),
        ("other", False),
        ("!other", True),
        ("team=x", True),
        ("team = x", True),
        ("team==x", True),
        (" team  ==  x ", True),
        ("team=y", False),
        ("team!=y", True),
        ("team != x", False),
        ("other!=x", True),
        ("team in (x)", True),
        ("team in (y, x)", True),
        ("team in(y,z)", False),
        ("team notin (y,z)", True),
        ("team notin (x)", False),
        ("other notin (x)", True),
        ("empty=", True),
        ("team=", False),
        ("empty in (a,)", True),
        ("team=x,!other,empty", True),
        ("team=x,other", False),
        ("run.googleapis.com/job = nightly", True),
        ("run.googleapis.com/job = nightly, team = x", True),
        ("run.googleapis.com/job = nightly,team in (Failed,x)", True),
        ("in=x", False),
        ("notin", False),
    ],
)
def test_a_selector_selects_what_kubernetes_would(text: str, selected: bool) -> None:
    assert parse_selector(text).selects(LABELS) is selected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (",", "the key of a label was expected, not ','"),
        ("a,", "the key of a label was expected, not the end"),
        ("=x", "the key of a label was expected, not '='"),
        ("!", "the key of a label was expected, not the end"),
        ("!!a", "the key of a label was expected, not '!'"),
        ("a b", "'=', '!=', 'in', 'notin' or ',' was expected, not 'b'"),
        ("a=b c", "',' or the end was expected, not 'c'"),
        ("a=b=c", "',' or the end was expected, not '='"),
        ("a in x", "'(' was expected, not 'x'"),
        ("a in (x", "',' or ')' was expected, not the end"),
        ("a in", "'(' was expected, not the end"),
        ("a in (x y)", "',' or ')' was expected, not 'y'"),
        ("a=(x)", "a value was expected, not '('"),
        ("a > 1", "'=', '!=', 'in', 'notin' or ',' was expected, not '>'"),
        ("'a'=b", "the key of a label was expected, not ''a''"),
    ],
)
def test_what_is_no_selector_is_answered_with_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_selector(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"'{text}' is not a label selector: ")


@pytest.mark.parametrize("text", ["a=b\0", "a=\ud800"])
def test_what_no_database_can_be_asked_for_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NUL character, or half of one"):
        parse_selector(text)


def test_a_very_long_selector_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="longer than 10000 characters"):
        parse_selector("a" * 10_001)


@given(st.text(max_size=60) | st.text("ab=!(), in\tnotin", max_size=60))
def test_any_text_is_a_selector_or_a_sentence(text: str) -> None:
    selector = Selector()
    with contextlib.suppress(ValueError):
        selector = parse_selector(text)
    assert parse_selector(written(selector)) == selector


def written(selector: Selector) -> str:
    forms = {
        Operator.IN: "{0} in ({1})",
        Operator.NOT_IN: "{0} notin ({1})",
        Operator.EXISTS: "{0}",
        Operator.ABSENT: "!{0}",
    }
    return " , ".join(
        forms[one.operator].format(one.key, ",".join(sorted(one.values)))
        for one in selector.requirements
    )


WORD = st.from_regex(r"\A[a-z0-9]([-a-z0-9_.]{0,8}[a-z0-9])?\Z")
REQUIREMENT = st.one_of(
    st.builds(Requirement, WORD, st.sampled_from([Operator.EXISTS, Operator.ABSENT])),
    st.builds(
        Requirement,
        WORD,
        st.sampled_from([Operator.IN, Operator.NOT_IN]),
        st.frozensets(WORD, min_size=1, max_size=3),
    ),
)


@given(st.lists(REQUIREMENT, max_size=4), st.dictionaries(WORD, WORD, max_size=4))
def test_a_written_selector_reads_back_as_itself_and_needs_all_of_its_parts(
    requirements: list[Requirement], labels: dict[str, str]
) -> None:
    selector = Selector(tuple(requirements))
    assert parse_selector(written(selector)) == selector
    assert selector.selects(labels) is all(one.holds(labels) for one in requirements)


def test_the_values_that_a_label_may_have_narrow_with_each_requirement() -> None:
    selector = parse_selector("a in (x,y), a != z, a in (y,z), b != q")
    assert selector.values("a") == {"y"}
    assert selector.values("b") is None
    assert parse_selector("a=x,a=y").values("a") == frozenset()


def test_an_execution_is_active_until_it_has_ended() -> None:
    active = parse_selector(
        "run.googleapis.com/job = job, run.googleapis.com/servingState = Active"
    )
    for state in ExecutionState:
        live = state in (ExecutionState.PENDING, ExecutionState.RUNNING, ExecutionState.STOPPING)
        assert active.selects(execution_labels(an_execution(state=state))) is live


def test_a_task_bears_the_labels_of_its_execution_and_its_state() -> None:
    from jobrunner.core.records import Task

    execution = an_execution("job-1", labels={"team": "x"})
    labels = task_labels(Task(execution.uid, 3, TaskState.FAILED), execution)
    assert labels == {
        "team": "x",
        "run.googleapis.com/job": "job",
        "run.googleapis.com/execution": "job-1",
        "run.googleapis.com/runningState": "Failed",
        "cloud.googleapis.com/location": "us-central1",
    }
