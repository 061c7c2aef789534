"""An occurrence is one of a kind by its key, and the key can be written and read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.core.records import OccurrenceKey

names = st.text("abcdefghij0123456789-", min_size=1)


def test_a_key_names_the_schedule_and_the_scheduled_instant() -> None:
    assert str(OccurrenceKey("s1", 1_767_225_600)) == "s1/2026-01-01T00:00:00Z"
    assert str(OccurrenceKey("s1", 1_767_225_600, "b7")) == "s1/2026-01-01T00:00:00Z/b7"


@given(names, st.integers(0, 4_000_000_000), st.one_of(st.none(), names))
def test_a_key_is_read_as_it_was_written(uid: str, at: int, backfill: str | None) -> None:
    key = OccurrenceKey(uid, at, backfill)
    assert OccurrenceKey.parse(str(key)) == key


@pytest.mark.parametrize(
    "text", ["", "s1", "/2026-01-01T00:00:00Z", "s1/soon", "s1/2026-01-01T00:00:00Z/"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        OccurrenceKey.parse(text)
