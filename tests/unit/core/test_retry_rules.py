"""The text form of retry rules."""

from __future__ import annotations

import contextlib
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.retry import (
    MAX_SIGNAL,
    SIGNALS,
    RetryAction,
    RetryCause,
    RetryRule,
    format_retry_rules,
    parse_retry_rules,
)
from jobrunner.errors import InvalidSpec

ACTIONS = st.sampled_from(RetryAction)
CODES = st.tuples(st.integers(1, 255), st.integers(1, 255)).map(lambda ends: tuple(sorted(ends)))
RULES = st.one_of(
    st.builds(lambda action, codes: RetryRule(action, codes=(codes,)), ACTIONS, CODES),
    st.builds(
        lambda action, number: RetryRule(action, signals=(number,)),
        ACTIONS,
        st.integers(1, MAX_SIGNAL),
    ),
    st.builds(
        lambda action, cause: RetryRule(action, on=cause), ACTIONS, st.sampled_from(RetryCause)
    ),
)


def test_rules_are_read_in_order_whatever_separates_them() -> None:
    text = "3=retry, 10-12=fail-task; SIGKILL=retry;signal:15=retry ,timeout=fail-execution,"
    assert parse_retry_rules(text) == (
        RetryRule(RetryAction.RETRY, codes=((3, 3),)),
        RetryRule(RetryAction.FAIL_TASK, codes=((10, 12),)),
        RetryRule(RetryAction.RETRY, signals=(9,)),
        RetryRule(RetryAction.RETRY, signals=(15,)),
        RetryRule(RetryAction.FAIL_EXECUTION, on=RetryCause.TIMEOUT),
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "it holds no rule"),
        ("3", "'3' is not a rule: allowed: CONDITION=ACTION"),
        ("3=again", "'again' is not an action; allowed: retry, fail-task, fail-execution"),
        ("0=retry", "exit codes of a failure are 1 to 255, not '0'"),
        ("256=retry", "exit codes of a failure are 1 to 255, not '256'"),
        ("12-10=retry", "the range '12-10' is empty; write 10-12"),
        ("SIGFOO=retry", "'SIGFOO' is not a signal that is known"),
        ("signal:0=retry", "allowed: signal:1 to signal:64"),
        ("signal:x=retry", "allowed: signal:1 to signal:64"),
        ("never=retry", "'never' is not a condition"),
        ("3=retry,,4=retry", "'' is not a rule"),
        ("1=retry," * 101, "it holds 101 rules; allowed: at most 100"),
    ],
)
def test_a_bad_rule_is_named_with_its_reason(text: str, part: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_retry_rules(text, "here")
    assert part in str(caught.value)
    assert all(violation.field == "here" for violation in caught.value.violations)


def test_every_bad_rule_is_found() -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_retry_rules("0=retry;3=retry;4=again")
    assert len(caught.value.violations) == 2


@given(st.lists(RULES, min_size=1, max_size=10))
def test_rules_survive_being_written_and_read(rules: list[RetryRule]) -> None:
    assert parse_retry_rules(format_retry_rules(tuple(rules))) == tuple(rules)


@given(st.text(max_size=40))
def test_any_text_is_a_list_of_rules_or_invalid(text: str) -> None:
    with contextlib.suppress(InvalidSpec):
        assert parse_retry_rules(text)


def test_the_signal_numbers_are_those_of_linux() -> None:
    known = {member.name: member.value for member in signal.Signals}
    assert {name: known[name] for name in SIGNALS if name in known} == {
        name: number for name, number in SIGNALS.items() if name in known
    }
