"""What a role may do beyond the least role of a method."""

from __future__ import annotations

from jobrunner.api.errors import PermissionDenied
from jobrunner.calls import Call, Role
from jobrunner.core.records import Scope

RUN_WITH_OVERRIDES = "run.jobs.runWithOverrides"
MAY_OVERRIDE = Role.ADMIN
"""Who chooses the arguments and the environment of a program chooses what it does: for most jobs
that is as much as to run any program. An invoker, as in production, runs jobs as they are."""


def check_overrides(call: Call, overrides: object, scope: Scope, job: str) -> None:
    """``overrides`` is what a run changes of the job, ``None`` or empty for nothing. Raises
    PermissionDenied if the caller may only run the job as it is."""
    if not overrides or call.principal.role >= MAY_OVERRIDE:
        return
    resource = f"projects/{scope.project}/locations/{scope.region}/jobs/{job}"
    raise PermissionDenied(
        f"Permission '{RUN_WITH_OVERRIDES}' denied on resource '{resource}'"
        " (or resource may not exist).",
        hint=f"'{call.principal.name}' has the role {call.principal.role.name.lower()}, which runs"
        f" a job as it is; {MAY_OVERRIDE.name.lower()} is needed to run it with other arguments,"
        " variables, tasks or timeout, or on another backend.",
    )
