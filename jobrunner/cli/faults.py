"""``--faults`` and ``--allow-faults``: things go wrong on purpose, and never by accident."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from jobrunner.core.faults import Faults, parse_faults
from jobrunner.errors import Refused, UsageError

VARIABLE = "JOBRUNNER_FAULTS"


def fault_options(command: Any) -> Any:
    """Both options of a command that serves."""
    allow = click.option("--allow-faults", is_flag=True, help="Let --faults have its way.")
    spec = click.option(
        "--faults", metavar="SPEC", help="For tests: what goes wrong on purpose, how often."
    )
    return spec(allow(command))


def faults_from(spec: str | None, allowed: bool, env: Mapping[str, str]) -> Faults | None:
    """Raises UsageError for a bad specification, and Refused where it was not allowed."""
    where, text = ("--faults", spec) if spec is not None else (VARIABLE, env.get(VARIABLE))
    if not text:
        if spec is not None:
            raise UsageError("--faults: it is empty")
        return None
    try:
        faults = parse_faults(text)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    if not allowed:
        raise Refused(
            f"{where} makes calls and runs fail on purpose; that needs --allow-faults, too.",
            hint="For tests only.",
        )
    click.echo(f"Things go wrong on purpose here ({text}).", err=True)
    return faults
