"""A table of expressions with the instants at which they are due, next to this file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from triggers.core.occurrences import next_after, parse_expression, timing
from triggers.core.words import describe

ROWS = [
    tuple(row.split(" | "))
    for row in Path(__file__).with_name("expressions.txt").read_text().splitlines()
]


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len({row[0] for row in ROWS}) >= 120


@pytest.mark.parametrize(("line", "zone", "start", "instants"), ROWS)
def test_each_expression_is_due_at_the_instants_of_the_table(
    line: str, zone: str, start: str, instants: str
) -> None:
    when = timing(line, zone)
    at: int | None = int(datetime.fromisoformat(start).timestamp())
    for instant in instants.split():
        assert at is not None
        at = next_after(when, at)
        assert at == datetime.fromisoformat(instant).timestamp()


@pytest.mark.parametrize("line", sorted({row[0] for row in ROWS}))
def test_each_expression_can_be_said_in_words(line: str) -> None:
    assert describe(parse_expression(line))
