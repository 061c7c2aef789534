"""Instants as RFC 3339 text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.timestamps import format_time, parse_time

MICROS = st.integers(0, 253_402_300_799_999_999)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(MICROS)
def test_an_instant_is_written_as_the_calendar_has_it(micros: int) -> None:
    at = micros / 1e6
    expected = EPOCH + timedelta(microseconds=min(round(at * 1e6), 253_402_300_799_999_999))
    year = f"{expected.year:04d}"
    assert format_time(at) == year + expected.strftime("-%m-%dT%H:%M:%S.%fZ")


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_written_instant_is_read_as_the_same(moment: datetime) -> None:
    at = (moment - EPOCH) / timedelta(seconds=1)
    assert parse_time(format_time(at)) == pytest.approx(at, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2024-02-29T23:59:60.5+01:00", 1_709_247_600.5),
        ("2024-02-29 12:00:00.123456789-00:30", 1_709_209_800.123456789),
        ("2025-05-01t10:00:00z", 1_746_093_600.0),
    ],
)
def test_offsets_nanoseconds_and_leap_days_are_read(text: str, at: float) -> None:
    assert parse_time(text) == pytest.approx(at)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024-01-01",
        "2024-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-00-10T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:00",
        "1969-12-31T23:59:59Z",
    ],
)
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_time(text)


def test_a_time_before_the_epoch_is_written_as_the_epoch() -> None:
    assert format_time(-5.0) == "1970-01-01T00:00:00.000000Z"
