"""A changed value is a new one; the old one stays as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobrunner.core.records import Attempt
from jobrunner.core.states import AttemptState
from jobrunner.core.values import changed

ATTEMPT = Attempt("e", 3, 1, AttemptState.RUNNING, handle="h", claimed_at=1.5)


def test_it_gives_what_dataclasses_replace_gives() -> None:
    ours = changed(ATTEMPT, state=AttemptState.FAILED, exit_code=3)
    assert ours == replace(ATTEMPT, state=AttemptState.FAILED, exit_code=3)
    assert hash(ours.key) == hash(ATTEMPT.key)


def test_the_value_itself_is_left_alone_and_the_copy_is_frozen_too() -> None:
    ours = changed(ATTEMPT, exit_code=3)
    assert ATTEMPT.exit_code is None
    with pytest.raises(AttributeError):
        ours.exit_code = 4  # type: ignore[misc]


def test_a_field_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        changed(ATTEMPT, colour="red")
