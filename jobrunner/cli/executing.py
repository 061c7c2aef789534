"""Opens an execution of a job and sees it through: 'jobs execute', and what ends in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.exclusive import at_most_one

if TYPE_CHECKING:
    from jobrunner.cli.base import Opened
    from jobrunner.core.records import Scope
    from jobrunner.core.spec import Overrides


def execute_now_options(function: Any) -> Any:
    """``--execute-now``, ``--wait`` and ``--async`` of the commands that store a job."""
    for option in (
        click.option(
            "--quiet", "-q", is_flag=True, help="No progress, and a summary only of failures."
        ),
        click.option(
            "--async", "asynchronous", is_flag=True, help="Accepted: storing a job takes no time."
        ),
        click.option("--wait", is_flag=True, help="The same; without a server it always waits."),
        click.option("--execute-now", is_flag=True, help="Then run the job until its end."),
    ):
        function = option(function)
    return function


def wants_execution(flags: Mapping[str, Any]) -> bool:
    """Whether the job is to be executed once it is stored. ``--async`` alone means, as in gcloud,
    not to wait for the storing; there is nothing to wait for."""
    at_most_one(
        flags, ("--async",), ("--execute-now", "--wait"), params={"--async": "asynchronous"}
    )
    return bool(flags["execute_now"] or flags["wait"])


def check_async(app: Opened) -> None:
    """Raises Refused without a server: nobody would drive the execution."""
    from jobrunner.errors import Refused

    if app.through_server:
        return
    raise Refused(
        "--async needs a server that drives the execution, and none is running on this home.",
        hint="Start one: jobrunner serve. Or leave --async away: the command then stays until the "
        "end. In a shell, '&' puts it into the background.",
    )


def execute_and_wait(
    app: Opened,
    scope: Scope,
    name: str,
    overrides: Overrides | None = None,
    *,
    backend: str | None = None,
    idempotency_key: str | None = None,
    logs: bool = False,
    quiet: bool = False,
    stay: bool = True,
) -> int:
    """Runs the job and waits; the name of the execution goes to standard output. Returns the exit
    code: 0 only if every task succeeded, or, not to ``stay``, once the execution is opened."""
    from jobrunner.cli.executions import drive_and_tell
    from jobrunner.cli.naming import flags_named
    from jobrunner.core.states import SETTLED_EXECUTIONS

    lease = app.lease()
    with flags_named():
        execution = app.service.executions.run(
            scope, name, overrides, backend=backend, idempotency_key=idempotency_key, lease=lease
        )
    sys.stdout.write(f"{execution.name}\n")
    sys.stdout.flush()
    if not stay:
        return 0

    def drive(watch: Any) -> Any:
        # With a key that was used before this is the earlier execution.
        if execution.state in SETTLED_EXECUTIONS:
            return execution
        ours = lease is None or (
            execution.lease is not None and execution.lease.owner == lease.owner
        )
        if not ours and app.is_driven(execution):
            return app.wait(execution, timeout=None, observer=watch)
        return app.drive(execution, observer=watch)

    return drive_and_tell(app, execution, drive, logs=logs, quiet=quiet)
