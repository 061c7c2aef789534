"""Flags of gcloud's that ask for something this program does not do.

They are understood, so that the answer is what is not supported, in the words of the list of
refused fields, and not that there is no such option.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from jobrunner.cli.exclusive import is_given, param
from jobrunner.core.problems import CONTAINERS, EXECUTION_METADATA, TASK
from jobrunner.errors import InvalidSpec, Violation

_ONE = f"{CONTAINERS}[0]"
_SIDECARS = f"{CONTAINERS}[1]"
_SOURCE = "template.template.containers[].sourceCode"

REFUSED: Mapping[str, str] = {
    "--container": _SIDECARS,
    "--remove-containers": _SIDECARS,
    "--depends-on": f"{EXECUTION_METADATA}.annotations[run.googleapis.com/container-dependencies]",
    "--gpu": f"{_ONE}.resources.limits[nvidia.com/gpu]",
    "--gpu-type": f"{TASK}.nodeSelector",
    "--startup-probe": f"{_ONE}.startupProbe",
    "--liveness-probe": f"{_ONE}.livenessProbe",
    "--readiness-probe": f"{_ONE}.readinessProbe",
    "--source": _SOURCE,
    "--ignore-file": _SOURCE,
}
"""Flag → the refused field it would set, by its v1 path, or by its v2 path where v1 has none."""

_ASKS_FOR_NOTHING = {
    "--gpu": ("", "0"),
    "--gpu-type": ("",),
    "--depends-on": ("",),
    "--startup-probe": ("",),
    "--liveness-probe": ("",),
    "--readiness-probe": ("",),
}
"""Values with which gcloud takes away what a job of ours cannot have."""


def refused_options(function: Any) -> Any:
    """Adds the flags; ``--help`` shows what works, and so not these."""
    for flag in REFUSED:
        function = click.option(flag, multiple=True, hidden=True)(function)
    return function


def refuse_by_name(flags: Mapping[str, Any]) -> None:
    """Raises InvalidSpec with all refused flags that are given."""
    violations = []
    for flag, field in REFUSED.items():
        name = param(flag)
        if is_given(flags, name) and set(flags[name]) - set(_ASKS_FOR_NOTHING.get(flag, ())):
            violations.append(Violation(flag, reason(field)))
    if violations:
        raise InvalidSpec(violations)


def reason(field: str) -> str:
    """Why ``field`` is refused. Raises KeyError where it is not."""
    # The list is long and most command lines have none of these: it is read when it is needed.
    from jobrunner.core.fields import FIELDS, Standing, refusal

    for known in FIELDS:
        if known.standing is Standing.REFUSED and not known.v1 and known.v2 == field:
            return known.note
    return refusal(field).message
