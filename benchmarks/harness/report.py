"""Rows of a report, the bound of each, and the Markdown around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from harness.pairs import Result, middle


@dataclass(frozen=True, slots=True)
class Row:
    """``cells`` by column. ``passed`` is None where nothing is demanded."""

    cells: dict[str, str]
    passed: bool | None
    numbers: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What one suite found. ``commands`` repeat by hand what was measured."""

    suite: str
    title: str
    rows: Sequence[Row]
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def missed(self) -> bool:
        return any(row.passed is False for row in self.rows)


def verdict(passed: bool | None) -> str:
    return {True: "PASS", False: "**MISS**", None: ""}[passed]


def pair_rows(results: Sequence[Result]) -> list[Row]:
    return [pair_row(result) for result in results]


def pair_row(result: Result) -> Row:
    pair = result.pair
    if result.error or not result.samples:
        cells = {"what": pair.what, "against": pair.base_name, "ratio": result.error or "not run"}
        return Row(cells, False, {"error": result.error})
    samples, bases, ratios = result.samples, result.bases, result.ratios
    seconds = [pair.seconds(sample) for sample in samples]
    cells = {
        "what": pair.what,
        "against": pair.base_name,
        "s": f"{middle(seconds):.3f}",
        "base s": f"{middle(pair.seconds(base) for base in bases):.3f}",
        "ratio": f"**{result.ratio:.2f}x**",
        "min-max": f"{min(ratios):.2f}-{max(ratios):.2f}",
        "best/best": f"{result.best:.2f}x",
        "bound": bound_text(result),
        "": verdict(result.passed),
        "CPU ms/task": f"{middle(1e3 * s.cpu / s.tasks for s in samples):.2f}",
        "base CPU": f"{middle(1e3 * b.cpu / b.tasks for b in bases):.2f}",
        "runner MB": megabytes([s.runner_mb for s in samples if s.parts]),
        "supervisor MB": megabytes([s.supervisor_mb for s in samples if s.parts]),
    }
    numbers: dict[str, object] = {
        "ratios": ratios,
        "samples": [asdict(sample) for sample in samples],
        "bases": [asdict(base) for base in bases],
    }
    return Row(cells, result.passed, numbers)


def bound_text(result: Result) -> str:
    pair = result.pair
    if pair.at_least is not None:
        return f"≥ {pair.at_least:g}x"
    if pair.at_most is None:
        return ""
    goal = f" (goal {pair.goal:g}x)" if pair.goal else ""
    return f"≤ {pair.at_most:g}x{goal}"


def megabytes(values: Sequence[float]) -> str:
    return f"{max(values):.0f}" if values else ""


def limit_row(what: str, values: Sequence[float], limit: float | None, unit: str) -> Row:
    """The largest of ``values`` must not exceed ``limit``."""
    worst = max(values)
    passed = None if limit is None else worst <= limit
    cells = {
        "what": what,
        "measured": f"**{worst:.3g} {unit}**",
        "min-max": f"{min(values):.3g}-{worst:.3g}",
        "bound": "" if limit is None else f"≤ {limit:g} {unit}",
        "": verdict(passed),
    }
    return Row(cells, passed, {"values": list(values)})


def markdown(report: Report) -> str:
    """One table per set of columns, in the order of the rows."""
    parts = [f"## {report.suite}: {report.title}"]
    group: list[Row] = []
    for row in [*report.rows, None]:
        if group and (row is None or _columns(row) != _columns(group[0])):
            parts.append(_table(group))
            group = []
        if row is not None:
            group.append(row)
    if report.notes:
        parts.append("\n".join(f"- {note}" for note in report.notes))
    if report.commands:
        parts.append("```sh\n" + "\n".join(report.commands) + "\n```")
    return "\n\n".join(parts) + "\n"


def _columns(row: Row) -> tuple[str, ...]:
    return ("ratio",) if "ratio" in row.cells else tuple(row.cells)


def _table(rows: Sequence[Row]) -> str:
    columns = list(max((row.cells for row in rows), key=len))
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    for row in rows:
        lines.append("| " + " | ".join(row.cells.get(column, "") for column in columns) + " |")
    return "\n".join(lines)
