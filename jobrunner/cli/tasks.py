"""``jobrunner tasks``: the tasks of an execution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.base import Group, State, UsageProblem, read_format, with_state
from jobrunner.cli.logs import log_options, print_logs
from jobrunner.cli.params import whole

if TYPE_CHECKING:
    from jobrunner.cli.base import Opened
    from jobrunner.core.records import Execution, Scope

STATES = ("pending", "running", "succeeded", "failed", "cancelled", "abandoned")
MARK = "-task"


@click.group(cls=Group)
def tasks() -> None:
    """See the tasks of an execution and their output."""


execution_option = click.option("--execution", metavar="EXECUTION", help="The execution.")
task_argument = click.argument("task", metavar="TASK")


@tasks.command(
    "list",
    examples=(
        "jobrunner tasks list --execution report-x7k2p",
        "jobrunner tasks list --execution report-x7k2p --state failed --format json",
    ),
)
@click.option("--execution", metavar="EXECUTION", required=True, help="The execution.")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only these.")
@click.option("--limit", type=whole(1), metavar="N", help="At most so many.")
@read_format
@with_state
def list_(
    state: State, execution: str, states: tuple[str, ...], limit: int | None, form: str
) -> None:
    """List the tasks of an execution by index; as JSON or YAML with their attempts."""
    from jobrunner.cli.output import emit
    from jobrunner.cli.views.executions import MORE_THAN_ALL, task_documents, tasks_table
    from jobrunner.core.states import TaskState
    from jobrunner.ports import Page

    with state.opened() as app:
        found = app.service.executions.get(state.scope(), execution)
        rows = app.service.executions.tasks(
            found,
            states=[TaskState(word.capitalize()) for word in states] or None,
            page=Page(limit=limit or MORE_THAN_ALL),
        )
        if not rows and form == "table":
            click.echo("No such tasks.", err=True)
            return
        emit(
            form,
            lambda: task_documents(rows, app.service.executions.attempts(found)),
            lambda: tasks_table(rows, app.clock.now()),
        )


@tasks.command(
    examples=(
        "jobrunner tasks describe 3 --execution report-x7k2p",
        "jobrunner tasks describe report-x7k2p-task3",
    )
)
@task_argument
@execution_option
@read_format
@with_state
def describe(state: State, task: str, execution: str | None, form: str) -> None:
    """Show a task and its attempts. TASK is an index, or EXECUTION-taskINDEX."""
    from jobrunner.cli.output import emit
    from jobrunner.cli.views.executions import task_documents, task_page

    with state.opened() as app:
        found, index = find(app, state.scope(), task, execution)
        row = app.service.executions.task(found, index)
        attempts = app.service.executions.attempts(found, index=index)
        emit(
            form,
            lambda: {"execution": found.name, **task_documents([row], attempts)[0]},
            lambda: task_page(found, row, attempts, app.clock.now()),
        )


@tasks.command(examples=("jobrunner tasks logs 3 --execution report-x7k2p --attempt 0",))
@task_argument
@execution_option
@log_options(index=False)
@with_state
def logs(state: State, task: str, execution: str | None, **flags: Any) -> None:
    """Print the output of one task. TASK is an index, or EXECUTION-taskINDEX."""
    with state.opened() as app:
        found, index = find(app, state.scope(), task, execution)
        app.service.executions.task(found, index)
        print_logs(app, found, (index,), flags)


def find(app: Opened, scope: Scope, task: str, execution: str | None) -> tuple[Execution, int]:
    """The execution and the index that the words name. Raises NotFound or a usage error."""
    name, mark, number = task.rpartition(MARK)
    if mark and name and number.isdecimal() and execution in (None, name):
        return app.service.executions.get(scope, name), int(number)
    if not (task.isascii() and task.isdecimal()):
        raise UsageProblem(
            f"TASK: '{task}' is neither an index nor EXECUTION-taskINDEX.",
            hint="Write: jobrunner tasks describe 3 --execution NAME",
        )
    if execution is None:
        raise UsageProblem(
            f"Task {task} of which execution?", hint="Name it with --execution NAME."
        )
    return app.service.executions.get(scope, execution), int(task)
