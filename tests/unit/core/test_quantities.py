"""Amounts of memory and cpu, and durations, as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.elapsed import elapsed_text
from jobrunner.core.quantities import (
    MAX_MEMORY,
    format_cpu,
    format_duration,
    format_memory,
    parse_cpu,
    parse_duration,
    parse_memory,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512Mi", 512 * 2**20),
        ("2Gi", 2 * 2**30),
        ("1.5Gi", 3 * 2**29),
        ("500M", 500_000_000),
        ("1G", 10**9),
        ("3k", 3000),
        ("3K", 3000),
        ("1048576", 2**20),
        ("0.0000001Ki", 1),
    ],
)
def test_memory_is_read_in_decimal_and_binary_units(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "Mi", "512mi", "512 Mi", "-1Mi", "1e3", "0x10", "1.Gi", "0", "0Mi", "9999Ei", "\u0661Mi"],
)
def test_what_is_no_amount_of_memory_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="memory") as caught:
        parse_memory(text)
    assert f"'{text}'" in str(caught.value)


@given(st.integers(1, MAX_MEMORY))
def test_memory_survives_being_written_and_read(size: int) -> None:
    assert parse_memory(format_memory(size)) == size


@pytest.mark.parametrize(
    ("text", "cpus"), [("1", 1.0), ("1000m", 1.0), ("0.5", 0.5), ("80m", 0.08), ("6", 6.0)]
)
def test_cpu_is_read_whole_broken_or_in_thousandths(text: str, cpus: float) -> None:
    assert parse_cpu(text) == cpus


@pytest.mark.parametrize(
    "text", ["", "0", "0m", "-1", "1.2345", "1.5m", "two", "1 m", "999999999m"]
)
def test_what_is_no_amount_of_cpu_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="cpu") as caught:
        parse_cpu(text)
    assert f"'{text}'" in str(caught.value)


@given(st.integers(1, 100_000_000))
def test_cpu_survives_being_written_and_read(milli: int) -> None:
    assert format_cpu(parse_cpu(f"{milli}m")) == f"{milli}m"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("600", 600.0),
        ("600s", 600.0),
        ("10m5s", 605.0),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        ("2d", 172_800.0),
        ("500ms", 0.5),
        ("3.5s", 3.5),
        ("0", 0.0),
        (" 5s ", 5.0),
    ],
)
def test_durations_are_seconds_or_have_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "5x", "-5s", "1h 2m", "1:00", "5s5", "inf", "nan", "1e3"]
)
def test_what_is_no_duration_is_named_with_the_allowed_form(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration; write it as") as caught:
        parse_duration(text)
    assert f"'{text}'" in str(caught.value)


@given(st.integers(0, 10**12))
def test_durations_survive_being_written_and_read(milli: int) -> None:
    assert parse_duration(format_duration(milli / 1000)) == pytest.approx(milli / 1000)


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_a_value_error(text: str) -> None:
    for parse in (parse_memory, parse_cpu, parse_duration):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (56.03, "56.03s"),
        (149.63, "2m29.63s"),
        (63.6, "1m3.6s"),
        (12.3, "12.3s"),
        (3600, "1h0m0s"),
        (0, "0s"),
        (59.999, "1m0s"),
        (-3, "0s"),
    ],
)
def test_elapsed_time_is_worded_as_the_contract_does(seconds: float, text: str) -> None:
    assert elapsed_text(seconds) == text
