"""``jobrunner executions``: see, follow, cancel, continue and re-run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.asking import delete_all, quiet_option
from jobrunner.cli.base import Group, State, UsageProblem, read_format, with_state
from jobrunner.cli.logs import log_options, print_logs
from jobrunner.cli.params import DURATION, INDICES, whole

if TYPE_CHECKING:
    from jobrunner.cli.base import Opened
    from jobrunner.core.records import Execution


@click.group(cls=Group)
def executions() -> None:
    """See, follow, cancel, continue and re-run executions."""


name_argument = click.argument("name", metavar="EXECUTION")
logs_option = click.option("--logs", is_flag=True, help="Print the output of tasks as it comes.")


def drive_option(function: Any) -> Any:
    """``--quiet`` for commands that drive."""
    return click.option(
        "--quiet", "-q", is_flag=True, help="No progress, and a summary only of failures."
    )(function)


def drive_and_tell(
    app: Opened, execution: Execution, drive: Any, *, logs: bool, quiet: bool
) -> int:
    """Drives with an audience, says the summary, returns the exit code."""
    from jobrunner.cli.guard import say
    from jobrunner.cli.live.drive import exit_code, say_summary, standard_screen, watched
    from jobrunner.cli.live.sinks import NoSink, PrefixSink

    screen = standard_screen()
    sink = PrefixSink(screen) if logs else NoSink()
    try:
        end = watched(app, execution, drive, sink=sink, screen=screen, talk=not quiet)
    except KeyboardInterrupt:
        if app.through_server and app.interrupted:
            say(f"{execution.name} is left to the server, which ends it.")
        raise
    ended = end.execution
    code = exit_code(ended, interrupted=app.interrupted)
    if not quiet or code or end.fault:
        say_summary(app, ended, screen)
        if not logs and not quiet and code != 1:
            screen.say(f"  output: jobrunner executions logs {ended.name}")
            screen.flush()
    end.check()
    return code


@executions.command(
    "list",
    examples=("jobrunner executions list", "jobrunner executions list --job report --format json"),
)
@click.option("--job", metavar="JOB", help="Only executions of this job.")
@click.option("--limit", type=whole(1), default=100, metavar="N", help="At most  [default: 100].")
@read_format
@with_state
def list_(state: State, job: str | None, limit: int, form: str) -> None:
    """List executions, newest first."""
    from jobrunner.cli.output import emit
    from jobrunner.cli.views.executions import execution_view, executions_table, interrupted
    from jobrunner.ports import Page

    with state.opened() as app:
        found = app.service.executions.list(
            state.scope(), job=job, hidden=True, page=Page(limit=limit)
        )
        if not found and form == "table":
            click.echo("No executions yet.", err=True)
            return
        emit(
            form,
            lambda: [execution_view(e, interrupted=interrupted(app, e)) for e in found],
            lambda: executions_table(app, found),
        )


@executions.command(examples=("jobrunner executions describe report-x7k2p --format json",))
@name_argument
@read_format
@with_state
def describe(state: State, name: str, form: str) -> None:
    """Show an execution; as JSON or YAML with every attempt of every task."""
    from jobrunner.cli.output import emit
    from jobrunner.cli.views.executions import execution_text, full_view

    with state.opened() as app:
        execution = app.service.executions.get(state.scope(), name)
        emit(form, lambda: full_view(app, execution), lambda: execution_text(app, execution))


@executions.command(
    examples=("jobrunner executions wait report-x7k2p --timeout 10m",),
)
@name_argument
@click.option("--timeout", type=DURATION, metavar="DURATION", help="Give up waiting (exit code 4).")
@with_state
def wait(state: State, name: str, timeout: float | None) -> int:
    """Wait until an execution has ended; exit code 0 only if every task succeeded."""
    from jobrunner.cli.live.drive import exit_code
    from jobrunner.cli.live.summary import headline

    with state.opened() as app:
        execution = app.service.executions.get(state.scope(), name)
        ended = app.wait(execution, timeout=timeout)
        click.echo(headline(ended), err=True)
        return exit_code(ended)


@executions.command(examples=("jobrunner executions cancel report-x7k2p",))
@name_argument
@with_state
def cancel(state: State, name: str) -> int:
    """End an execution early: its tasks get SIGTERM, the grace period, SIGKILL."""
    from jobrunner.cli.live.drive import standard_screen, watched
    from jobrunner.cli.live.sinks import NoSink
    from jobrunner.cli.live.summary import headline
    from jobrunner.core.states import ExecutionState
    from jobrunner.errors import Refused

    with state.opened_for(name) as (app, execution):
        ended = watched(
            app,
            execution,
            lambda watch: app.cancel(execution, observer=watch),
            sink=NoSink(),
            screen=standard_screen(),
            talk=True,
        ).execution
        click.echo(headline(ended), err=True)
        if ended.state is not ExecutionState.CANCELLED:
            raise Refused(
                f"Execution '{name}' ended as {ended.state.value.lower()} "
                "before it could be cancelled."
            )
        return 0


@executions.command(examples=("jobrunner executions delete report-x7k2p report-9c4wd --quiet",))
@click.argument("names", metavar="EXECUTION...", nargs=-1, required=True)
@quiet_option
@with_state
def delete(state: State, names: tuple[str, ...], quiet: bool) -> None:
    """Delete ended executions with their logs."""
    scope = state.scope()
    with state.opened() as app:
        executions = app.service.executions
        delete_all(
            "execution",
            "all logs",
            names,
            look=lambda name: executions.get(scope, name),
            delete=lambda name: executions.delete(scope, name),
            quiet=quiet,
        )


@executions.command(
    examples=(
        "jobrunner executions logs report-x7k2p --index 3",
        "jobrunner executions logs report-x7k2p --index 3 --attempt 0 --stream stderr",
        "jobrunner executions logs report-x7k2p --follow --timestamps",
    )
)
@name_argument
@log_options(index=True)
@with_state
def logs(state: State, name: str, indices: tuple[int, ...] | None, **flags: Any) -> None:
    """Print the output of an execution: all tasks by time, or some."""
    with state.opened() as app:
        execution = app.service.executions.get(state.scope(), name)
        for index in indices or ():
            app.service.executions.task(execution, index)
        print_logs(app, execution, indices, flags)


@executions.command("continue", examples=("jobrunner executions continue report-x7k2p",))
@name_argument
@logs_option
@drive_option
@with_state
def continue_(state: State, name: str, logs: bool, quiet: bool) -> int:
    """Take up an execution whose runner went away, and see it through to its end."""
    from jobrunner.core.states import SETTLED_EXECUTIONS

    with state.opened_for(name) as (app, execution):
        if app.through_server and execution.state not in SETTLED_EXECUTIONS:
            click.echo("The server drives it by itself; this command follows.", err=True)
        return drive_and_tell(
            app,
            execution,
            lambda watch: app.drive_again(execution, observer=watch),
            logs=logs,
            quiet=quiet,
        )


@executions.command(
    examples=(
        "jobrunner executions rerun report-x7k2p --failed",
        "jobrunner executions rerun report-x7k2p --index 3,7-9",
    )
)
@name_argument
@click.option("--failed", is_flag=True, help="The tasks that did not succeed.")
@click.option("--index", "indices", type=INDICES, metavar="LIST", help="These tasks, as 3,7-9.")
@logs_option
@drive_option
@with_state
def rerun(
    state: State,
    name: str,
    failed: bool,
    indices: tuple[int, ...] | None,
    logs: bool,
    quiet: bool,
) -> int:
    """Run tasks of an ended execution again, in an execution of their own: same indices, same
    template, same image."""
    if failed == (indices is not None):
        raise UsageProblem(
            "Exactly one of --failed and --index is needed.",
            hint=f"For the tasks that did not succeed: jobrunner executions rerun {name} --failed",
        )
    with state.opened_for(name) as (app, _):
        child = app.service.executions.rerun(
            state.scope(), name, indices=indices, lease=app.lease()
        )
        sys.stdout.write(f"{child.name}\n")
        sys.stdout.flush()
        return drive_and_tell(
            app, child, lambda watch: app.drive(child, observer=watch), logs=logs, quiet=quiet
        )
