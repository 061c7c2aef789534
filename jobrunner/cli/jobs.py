"""``jobrunner jobs``: create, change, export and execute jobs, with gcloud's flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.asking import delete_all, quiet_option
from jobrunner.cli.base import Group, State, format_option, read_format, with_state
from jobrunner.cli.executing import (
    check_async,
    execute_and_wait,
    execute_now_options,
    wants_execution,
)
from jobrunner.cli.job_flags import apply_flags, job_options
from jobrunner.cli.naming import flags_named
from jobrunner.cli.own import backend_option
from jobrunner.cli.params import DURATION, whole
from jobrunner.core.limits import MAX_TASKS

if TYPE_CHECKING:
    from jobrunner.cli.base import Opened
    from jobrunner.core.records import Job
    from jobrunner.core.spec import JobSpec, Overrides

CLIENT = "jobrunner"


@click.group(cls=Group)
def jobs() -> None:
    """Create, change, export and execute jobs."""


name_argument = click.argument("name", metavar="JOB")


@jobs.command(
    examples=(
        "jobrunner jobs create report --workdir . --command ./report.sh --args=--full --tasks 3",
        "jobrunner jobs create thumbs --image thumbs:1 --set-env-vars SIZE=64,MODE=fast",
        "jobrunner jobs create report --command ./report.sh --tasks 3 --execute-now",
    )
)
@name_argument
@job_options(change=False)
@execute_now_options
@with_state
def create(state: State, name: str, **flags: Any) -> int:
    """Create a job. Without --image its command runs as a process of yours."""
    now, scope = wants_execution(flags), state.scope()
    with state.opened() as app:
        with flags_named():
            job = app.service.jobs.create(scope, name, apply_flags(new_spec(), flags, scope))
        return stored(app, f"Created job '{job.name}'.", job, now=now, quiet=flags["quiet"])


@jobs.command(
    examples=(
        "jobrunner jobs update report --tasks 5 --update-env-vars MODE=full",
        "jobrunner jobs update report --remove-env-vars MODE --clear-labels",
    )
)
@name_argument
@job_options(change=True)
@execute_now_options
@with_state
def update(state: State, name: str, **flags: Any) -> int:
    """Change a job: what no flag names stays as it is."""
    now, scope = wants_execution(flags), state.scope()
    with state.opened() as app:
        with flags_named():
            current = app.service.jobs.get(scope, name)
            job = app.service.jobs.replace(
                scope,
                name,
                apply_flags(current.spec, flags, scope),
                expect_version=current.resource_version,
            )
        verb = "Updated" if job.generation != current.generation else "Nothing changed in"
        return stored(app, f"{verb} job '{job.name}'.", job, now=now, quiet=flags["quiet"])


@jobs.command(examples=("jobrunner jobs deploy report --command ./report.sh --tasks 3",))
@name_argument
@job_options(change=True)
@execute_now_options
@with_state
def deploy(state: State, name: str, **flags: Any) -> int:
    """Create a job, or change it if it is there."""
    now, scope = wants_execution(flags), state.scope()
    with state.opened() as app:
        with flags_named():
            current = app.service.jobs.find(scope, name)
            spec = apply_flags(new_spec() if current is None else current.spec, flags, scope)
            job, word = app.service.jobs.apply(scope, name, spec)
        return stored(app, f"Job '{job.name}' {word}.", job, now=now, quiet=flags["quiet"])


def new_spec() -> JobSpec:
    from jobrunner import __version__
    from jobrunner.core.spec import JobSpec

    return JobSpec(client=CLIENT, client_version=__version__)


def stored(app: Opened, message: str, job: Job, *, now: bool, quiet: bool) -> int:
    """Says on standard error what was done and of what to beware, and executes the job if that is
    to be ``now``. Returns the exit code."""
    from jobrunner.core.notices import notices
    from jobrunner.core.records import Scope

    for notice in notices(job.spec):
        click.echo(f"Warning: {notice}", err=True)
    click.echo(message, err=True)
    if now:
        return execute_and_wait(app, Scope(job.project, job.region), job.name, quiet=quiet)
    if job.execution_count == 0:
        click.echo(f"Run it with: jobrunner jobs execute {job.name}", err=True)
    return 0


@jobs.command(examples=("jobrunner jobs replace job.yaml", "jobrunner jobs replace -"))
@click.argument("file", metavar="FILE")
@with_state
def replace(state: State, file: str) -> None:
    """Create or replace the job that a YAML file describes, as 'gcloud run jobs replace'."""
    from jobrunner.cli.documents import apply_all, read_documents

    documents = read_documents([file])
    if len(documents) != 1:
        raise click.UsageError(
            f"{file} holds {len(documents)} documents; 'jobs replace' takes one. "
            "Write: jobrunner apply -f FILE"
        )
    apply_all(state, documents, dry_run=False)


@jobs.command("list", examples=("jobrunner jobs list", "jobrunner jobs list --format json"))
@click.option("--limit", type=whole(1), default=1000, metavar="N", help="At most  [default: 1000].")
@read_format
@with_state
def list_(state: State, limit: int, form: str) -> None:
    """List jobs by name."""
    from jobrunner.api.v1 import job_to_v1
    from jobrunner.cli.output import emit
    from jobrunner.cli.views.jobs import jobs_table
    from jobrunner.ports import Page

    with state.opened() as app:
        found = app.service.jobs.list(state.scope(), page=Page(limit=limit))
        if not found and form == "table":
            click.echo("No jobs yet.", err=True)
            return
        emit(
            form,
            lambda: [job_to_v1(job) for job in found],
            lambda: jobs_table(found, app.clock.now()),
        )


@jobs.command(examples=("jobrunner jobs describe report --format yaml",))
@name_argument
@read_format
@with_state
def describe(state: State, name: str, form: str) -> None:
    """Show a job; as JSON or YAML it is the Cloud Run document with its status."""
    from jobrunner.api.v1 import job_to_v1
    from jobrunner.cli.output import emit
    from jobrunner.cli.views.jobs import job_text

    with state.opened() as app:
        job = app.service.jobs.get(state.scope(), name)
        emit(form, lambda: job_to_v1(job), lambda: job_text(job))


@jobs.command(
    examples=("jobrunner jobs export report > job.yaml && gcloud run jobs replace job.yaml",)
)
@name_argument
@format_option("yaml", "json")
@with_state
def export(state: State, name: str, form: str) -> None:
    """Print a job as the document that 'gcloud run jobs replace' and 'jobrunner apply' accept."""
    from jobrunner.api.v1 import export_v1, unfit_for_cloud_run
    from jobrunner.cli.output import print_json, print_yaml

    with state.opened() as app:
        job = app.service.jobs.get(state.scope(), name)
    document = export_v1(job)
    for reason in unfit_for_cloud_run(job):
        click.echo(f"Warning: {reason}", err=True)
    if form == "json":
        print_json(document)
    else:
        print_yaml(document)


@jobs.command(examples=("jobrunner jobs delete report --quiet",))
@click.argument("names", metavar="JOB...", nargs=-1, required=True)
@quiet_option
@with_state
def delete(state: State, names: tuple[str, ...], quiet: bool) -> None:
    """Delete jobs with all of their executions and logs."""
    scope = state.scope()
    with state.opened() as app:
        service = app.service
        delete_all(
            "job",
            "all executions and logs",
            names,
            look=lambda name: service.jobs.get(scope, name),
            delete=lambda name: service.executions.delete_job(scope, name),
            quiet=quiet,
        )


@jobs.command(
    examples=(
        "jobrunner jobs execute report",
        "jobrunner jobs execute report --tasks 2 --update-env-vars MODE=quick --logs",
    )
)
@name_argument
@click.option("--args", multiple=True, metavar="WORD,...", help="Arguments of this execution.")
@click.option("--update-env-vars", multiple=True, metavar="K=V,...", help="Added for this one.")
@click.option("--tasks", type=whole(1, MAX_TASKS), metavar="N", help="Tasks of this execution.")
@click.option("--task-timeout", type=DURATION, metavar="DURATION", help="Per attempt.")
@click.option("--wait", is_flag=True, help="Stay until the end, as it does without this.")
@click.option("--async", "asynchronous", is_flag=True, help="Return at once; needs a server.")
@backend_option
@click.option("--idempotency-key", metavar="KEY", help="Open at most one execution per key.")
@click.option("--logs", is_flag=True, help="Print the output of tasks as it comes.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, and a summary only of failures.")
@with_state
def execute(state: State, name: str, **flags: Any) -> int:
    """Run a job and wait for it; exit code 0 only if every task succeeded.

    The name of the execution goes to standard output. Overrides touch this execution only.
    """
    if flags["wait"] and flags["asynchronous"]:
        raise click.UsageError("--wait and --async exclude each other.")
    overrides = overrides_of(flags)
    with state.opened() as app:
        if flags["asynchronous"]:
            check_async(app)
        return execute_and_wait(
            app,
            state.scope(),
            name,
            overrides,
            backend=flags["backend"],
            idempotency_key=flags["idempotency_key"],
            logs=flags["logs"],
            quiet=flags["quiet"],
            stay=not flags["asynchronous"],
        )


def overrides_of(flags: dict[str, Any]) -> Overrides | None:
    """``None`` when nothing is overridden."""
    from jobrunner.cli.envvars import dict_flag, list_flag
    from jobrunner.core.spec import ContainerOverride, EnvVar, Overrides

    args = list_flag("--args", flags["args"])
    env = dict_flag("--update-env-vars", flags["update_env_vars"])
    containers: tuple[ContainerOverride, ...] = ()
    if flags["args"] or env:
        containers = (
            ContainerOverride(
                args=tuple(args),
                clear_args=bool(flags["args"]) and not args,
                env=tuple(EnvVar(key, value=value) for key, value in env.items()),
            ),
        )
    if not containers and flags["tasks"] is None and flags["task_timeout"] is None:
        return None
    return Overrides(
        containers=containers, task_count=flags["tasks"], timeout=flags["task_timeout"]
    )
