"""Lines of output as log entries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.core.logentry import (
    MAX_LINE,
    SEVERITIES,
    Operation,
    SourceLocation,
    cut_line,
    entry_as_json,
    parse_entries,
    parse_entry,
)

AT = 1_750_000_000.0
G = "logging.googleapis.com/"


def entry(value: object) -> Any:
    return parse_entry(json.dumps(value).encode(), 1, AT)


@pytest.mark.parametrize(
    "line",
    [b"", b"hello", b"[1, 2]", b'"text"', b"3", b"null", b'{"a": 1', b'{"a": NaN}', b'{"a": 1e999}',
     b'{"a": 1} x', b"{}{}", b"{" * 5000 + b"}" * 5000, b'{"a": ' + b"[" * 100_000 + b"}"],
)  # fmt: skip
def test_a_line_that_is_not_one_json_object_is_text(line: bytes) -> None:
    found = parse_entry(line, 2, AT)
    assert found.text == line.decode()
    assert (found.payload, found.severity, found.stream) == (None, "DEFAULT", 2)
    assert found.timestamp == found.received_at == AT


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert parse_entry(b"a\xffb", 1, AT).text == "a\N{REPLACEMENT CHARACTER}b"
    assert parse_entry(b'{"a": "\xff"}', 1, AT).text == '{"a": "\N{REPLACEMENT CHARACTER}"}'


def test_a_json_object_is_a_payload_and_its_message_is_shown() -> None:
    found = entry({"message": "hi", "user": 3})
    assert found.payload == {"message": "hi", "user": 3}
    assert (found.text, found.message) == (None, "hi")


def test_blanks_around_an_object_do_not_matter() -> None:
    assert parse_entry(b' \t{"a": 1} \r', 1, AT).payload == {"a": 1}


def test_a_message_that_is_left_alone_becomes_text() -> None:
    found = entry({"message": "hi", "severity": "ERROR"})
    assert (found.text, found.payload, found.severity) == ("hi", None, "ERROR")


def test_a_payload_without_a_message_is_shown_as_json() -> None:
    assert entry({"user": "é"}).message == '{"user": "é"}'


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("error", "ERROR"),
        ("WARN", "WARNING"),
        (" info ", "INFO"),
        ("fatal", "CRITICAL"),
        ("Trace", "DEBUG"),
        *((word, word) for word in SEVERITIES),
    ],
)
def test_severities_are_known_in_any_case_and_by_usual_names(word: str, severity: str) -> None:
    found = entry({"severity": word, "a": 1})
    assert found.severity == severity
    assert found.payload == {"a": 1}


def test_every_special_field_moves_to_the_entry() -> None:
    found = entry(
        {
            "severity": "NOTICE",
            "message": "m",
            "time": "2025-05-01T10:00:00Z",
            G + "insertId": "i",
            G + "labels": {"k": "v"},
            G + "operation": {"id": "o", "producer": "p", "first": True},
            G + "sourceLocation": {"file": "f.py", "line": "12", "function": "g"},
            G + "trace": "projects/p/traces/t",
            G + "spanId": "s",
            G + "trace_sampled": True,
            "httpRequest": {"status": 200},
            "stack_trace": "kept",
        }
    )
    assert found.payload == {"message": "m", "stack_trace": "kept"}
    assert found.timestamp == 1_746_093_600.0
    assert found.received_at == AT
    assert found.operation == Operation("o", "p", first=True)
    assert found.source_location == SourceLocation("f.py", 12, "g")
    assert entry_as_json(found) == {
        "timestamp": "2025-05-01T10:00:00.000000Z",
        "receiveTimestamp": "2025-06-15T15:06:40.000000Z",
        "severity": "NOTICE",
        "jsonPayload": {"message": "m", "stack_trace": "kept"},
        "labels": {"k": "v"},
        "trace": "projects/p/traces/t",
        "spanId": "s",
        "traceSampled": True,
        "insertId": "i",
        "httpRequest": {"status": 200},
        "operation": {"id": "o", "producer": "p", "first": True},
        "sourceLocation": {"file": "f.py", "function": "g", "line": "12"},
    }


@pytest.mark.parametrize(
    "field",
    [
        {"severity": 3},
        {"severity": "loud"},
        {"time": 5},
        {"time": "yesterday"},
        {"timestamp": {"seconds": "x"}},
        {"timestamp": {"seconds": 1, "nanos": 10**9}},
        {"timestamp": {"seconds": 1, "other": 2}},
        {"timestampSeconds": True},
        {"timestampSeconds": -1},
        {G + "insertId": 1},
        {G + "labels": {"k": 1}},
        {G + "labels": "k=v"},
        {G + "operation": {"id": 1}},
        {G + "operation": {"other": "x"}},
        {G + "sourceLocation": {"line": "twelve"}},
        {G + "sourceLocation": "f.py:12"},
        {G + "trace": None},
        {G + "trace_sampled": "true"},
        {"httpRequest": "GET /"},
    ],
    ids=str,
)
def test_a_special_field_of_a_wrong_type_stays_in_the_payload(field: dict[str, Any]) -> None:
    found = entry({"message": "m", **field})
    assert found.payload == {"message": "m", **field}
    assert found.timestamp == AT


@pytest.mark.parametrize(
    "value",
    [
        {"timestamp": {"seconds": 5, "nanos": 500_000_000}},
        {"timestamp": {"seconds": "5", "nanos": 500_000_000}},
        {"timestampSeconds": 5, "timestampNanos": 500_000_000},
        {"timestampSeconds": "5", "timestampNanos": "500000000"},
        {"timestamp": "1970-01-01T00:00:05.5Z"},
    ],
    ids=str,
)
def test_a_time_is_understood_in_each_of_its_forms(value: dict[str, Any]) -> None:
    found = entry({**value, "a": 1})
    assert found.timestamp == 5.5
    assert found.payload == {"a": 1}


def test_a_long_line_is_cut_into_entries_and_loses_nothing() -> None:
    line = ("é" * MAX_LINE).encode()
    pieces = cut_line(line)
    assert b"".join(pieces) == line
    assert all(len(piece) <= MAX_LINE for piece in pieces)
    assert "".join(e.text or "" for e in parse_entries(line, 1, AT)) == "é" * MAX_LINE


def test_a_character_at_the_cut_stays_whole() -> None:
    line = b"x" * (MAX_LINE - 1) + "\N{GRINNING FACE}".encode() + b"y"
    assert [len(piece) for piece in cut_line(line)] == [MAX_LINE - 1, 5]


def test_a_line_of_the_longest_length_is_one_entry() -> None:
    assert cut_line(b"x" * MAX_LINE) == [b"x" * MAX_LINE]
    assert [len(piece) for piece in cut_line(b"\x80" * (MAX_LINE + 1))] == [MAX_LINE - 3, 4]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
SPECIAL = st.sampled_from(
    [
        "severity",
        "message",
        "time",
        "timestamp",
        "timestampSeconds",
        "timestampNanos",
        "httpRequest",
        *(G + name for name in ("labels", "operation", "sourceLocation", "trace", "insertId")),
    ]
)


@given(st.dictionaries(SPECIAL | st.text(max_size=5), JSON, max_size=5))
def test_any_object_is_an_entry_that_can_be_written_as_json(value: dict[str, Any]) -> None:
    found = parse_entry(json.dumps(value).encode(), 1, AT)
    assert (found.text is None) != (found.payload is None)
    assert isinstance(found.message, str)
    json.dumps(entry_as_json(found), allow_nan=False)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry(line: bytes) -> None:
    assert parse_entry(line, 1, AT).timestamp >= 0
