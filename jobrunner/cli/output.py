"""Data on standard output: tables for people, JSON and YAML for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

NONE = "-"


def print_json(data: Any) -> None:
    import json

    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def print_yaml(data: Any) -> None:
    sys.stdout.write(yaml_text(data))


def yaml_text(data: Any) -> str:
    """Block style, keys in the given order."""
    import yaml

    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=False)
    assert isinstance(text, str)
    return text


def emit(form: str, data: Callable[[], Any], table: Callable[[], str]) -> None:
    """Prints in the wanted form; only that one is made."""
    if form == "json":
        print_json(data())
    elif form == "yaml":
        print_yaml(data())
    else:
        sys.stdout.write(table())


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell. The last column is not padded."""
    cells = [list(headers), *([clean(cell) or NONE for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    lines = []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines) + "\n"


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """``Name:  value`` lines; an empty value leaves its line out."""
    shown = [(name, clean(value)) for name, value in rows if value]
    width = max((len(name) for name, _ in shown), default=0) + 1
    return "".join(f"{name + ':':<{width}}  {value}\n" for name, value in shown)


def clean(text: str) -> str:
    """One line without control characters: what a user wrote must not move the cursor."""
    return "".join(c if c.isprintable() else " " for c in text)
