"""``jobrunner doctor``: what this machine has, what that means, how to get what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from jobrunner.cli.base import Cmd, State, read_format, with_state

if TYPE_CHECKING:
    from jobrunner.cli.checks import Check

MARKS = {"ok": "ok     ", "warn": "warning", "missing": "missing", "failed": "FAILED "}


@click.command(cls=Cmd, examples=("jobrunner doctor", "jobrunner doctor --format json"))
@read_format
@with_state
def doctor(state: State, form: str) -> int:
    """Check this machine, and say what is missing.

    Exit code 0 unless no job could run at all (5).
    """
    from jobrunner.cli.checks import all_checks, can_run
    from jobrunner.cli.output import emit

    checks = all_checks(state.settings())
    usable = can_run(checks)

    def table() -> str:
        lines = []
        for check in checks:
            lines.append(f"{MARKS[check.status]}  {check.name}: {check.seen}")
            lines += [f"         {text}" for text in (check.meaning, check.remedy) if text]
        lines.append("")
        lines.append(_verdict(usable, checks))
        return "\n".join(lines) + "\n"

    emit(form, lambda: {"canRun": usable, "checks": [check.document() for check in checks]}, table)
    return 0 if usable else 5


def _verdict(usable: bool, checks: Sequence[Check]) -> str:
    from jobrunner.cli.checks import SERVER

    if not usable:
        return "No job can run here."
    if any(check.name == SERVER and check.status == "failed" for check in checks):
        return "Jobs can run here, but commands do not reach their server."
    return "Jobs can run here."
