"""``jobrunner apply``: create or replace what YAML describes."""

from __future__ import annotations

import click

from jobrunner.cli.base import Cmd, State, with_state


@click.command(
    cls=Cmd,
    examples=(
        "jobrunner apply -f job.yaml --dry-run",
        "jobrunner apply -f jobs/ -f more.yaml",
        "gcloud run jobs describe report --format export | jobrunner apply -f -",
    ),
)
@click.option(
    "--file", "-f", "files", multiple=True, required=True, metavar="FILE",
    help="A file, a directory of *.yaml and *.yml, or - for standard input.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@with_state
def apply(state: State, files: tuple[str, ...], dry_run: bool) -> None:
    """Create or replace what YAML documents describe: jobs (Cloud Run, kind Job), schedules,
    queues, subscriptions, event triggers, and the services and buckets they speak of.

    All documents are checked before anything is written.
    """
    from jobrunner.cli.documents import apply_all, read_documents
    from jobrunner.cli.table import KINDS

    apply_all(state, read_documents(files), dry_run=dry_run, others=KINDS)
