"""``jobrunner db``: look after the database."""

from __future__ import annotations

import click

from jobrunner.cli.asking import confirmed, quiet_option
from jobrunner.cli.base import Group, State, read_format, with_state
from jobrunner.cli.params import DURATION, whole


@click.group(cls=Group)
def db() -> None:
    """Look after the database: prune, upgrade, adopt, info."""


@db.command(examples=("jobrunner db prune --dry-run", "jobrunner db prune --max-age 7d"))
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--max-age", type=DURATION, metavar="DURATION", help="Keep so long  [default: 30d].")
@click.option(
    "--executions-per-job", type=whole(1), metavar="N", help="Keep so many  [default: 1000]."
)
@click.option("--max-log-size", metavar="SIZE", help="Keep so much output  [default: 10Gi].")
@with_state
def prune(
    state: State,
    dry_run: bool,
    max_age: float | None,
    executions_per_job: int | None,
    max_log_size: str | None,
) -> None:
    """Remove ended executions that are too old or too many, with their logs. The same happens by
    itself after runs."""
    from dataclasses import replace

    from jobrunner.app.reserve import give_up
    from jobrunner.cli.words import plural
    from jobrunner.core.quantities import parse_memory
    from jobrunner.ports import Retention

    retention = Retention()
    if max_age is not None:
        retention = replace(retention, max_age=max_age)
    if executions_per_job is not None:
        retention = replace(retention, executions_per_job=executions_per_job)
    if max_log_size is not None:
        try:
            retention = replace(retention, max_log_bytes=parse_memory(max_log_size))
        except ValueError as error:
            raise click.BadParameter(
                str(error).replace("an amount of memory", "a size"), param_hint="--max-log-size"
            ) from None
    # On a full disk not even opening works without a little room.
    give_up(state.settings().home)
    with state.opened() as app:
        gone = app.prune(dry_run=dry_run, retention=retention)
    for execution in gone:
        click.echo(execution.name)
    verb = "would go" if dry_run else "removed"
    click.echo(f"{plural(len(gone), 'execution')} {verb}.", err=True)


@db.command(examples=("jobrunner db upgrade",))
@with_state
def upgrade(state: State) -> None:
    """Bring the database to the form that this version needs. Every command does it when needed."""
    with state.opened() as app:
        facts = app.store.facts()
    click.echo(f"The database is up to date ({', '.join(f'{k} {v}' for k, v in facts.items())}).",
               err=True)  # fmt: skip


@db.command(examples=("jobrunner db adopt",))
@quiet_option
@with_state
def adopt(state: State, quiet: bool) -> None:
    """Make a PostgreSQL database belong to this home, after its former home is gone for good."""
    from jobrunner.app import App

    confirmed("Adopt it? What the former home still runs would be started again.", quiet=quiet)
    App.adopt_database(state.settings())
    click.echo("The database belongs to this home now.", err=True)


@db.command(examples=("jobrunner db info --format json",))
@read_format
@with_state
def info(state: State, form: str) -> None:
    """Show what the database is and how big it has grown."""
    from jobrunner.cli.output import emit, pairs
    from jobrunner.cli.words import size_text

    with state.opened() as app:
        facts = dict(app.store.facts())
        logs = app.logs.total_size()
        home = app.settings.home
    data = {"home": home, **facts, "logBytes": logs}
    shown = data | {"size": size_text(int(facts["size"]))} if "size" in facts else data
    rows = [(name, str(value)) for name, value in shown.items() if name != "logBytes"]
    emit(form, lambda: data, lambda: pairs([*rows, ("logs", size_text(logs))]))
