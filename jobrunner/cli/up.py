"""``jobrunner up``: a pipeline in files, served while one works on it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from jobrunner.cli.base import Cmd, State, format_option, with_state
from jobrunner.cli.faults import fault_options, faults_from
from jobrunner.cli.params import TIME, whole
from jobrunner.errors import UsageError

PORTS = whole(0, 65535)


@click.command(
    cls=Cmd,
    examples=(
        "jobrunner up -f pipeline.yaml",
        "jobrunner up -f pipeline/ --port 0 --format json",
        "jobrunner up -f pipeline.yaml --clock virtual --backend scripted",
    ),
)
@click.option(
    "--file", "-f", "files", multiple=True, required=True, metavar="FILE",
    help="A file, or a directory of *.yaml and *.yml.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", metavar="ADDR", help="Where  [default: 127.0.0.1].")
@click.option("--port", type=PORTS, default=8686, metavar="N", help="Port  [default: 8686].")
@click.option(
    "--backend",
    type=click.Choice(("process", "docker", "scripted")),
    metavar="NAME",
    help="Run everything there: process, docker or scripted.",
)
@click.option(
    "--clock",
    type=click.Choice(("real", "virtual")),
    default="real",
    metavar="KIND",
    help="real, or virtual: moved by 'jobrunner clock'  [default: real].",
)
@click.option("--from", "start", type=TIME, metavar="TIME", help="Where virtual time begins.")
@fault_options
@format_option("table", "json")
@with_state
def up(
    state: State,
    *,
    files: tuple[str, ...],
    clock: str,
    form: str,
    faults: str | None,
    allow_faults: bool,
    **flags: Any,
) -> None:
    """Serve jobs, schedules, queues, subscriptions and triggers from files, and say what happens.

    The files are applied again whenever they change: what left them is removed if they had made it,
    and while one of them is broken everything stays as it was. Ctrl-C ends when what runs has
    ended; once more ends at once, and the next server takes up what still runs.
    """
    from jobrunner.app.options import ServeOptions
    from jobrunner.app.reporting import set_up_logging
    from jobrunner.app.server import serve
    from jobrunner.cli.pipeline.following import Follower
    from jobrunner.cli.pipeline.loading import fingerprint, read_version
    from jobrunner.cli.pipeline.printing import Printer

    if "-" in files:
        raise UsageError("--file: '-' cannot be watched; give a file or a directory")
    seen = fingerprint(files)
    first = read_version(files)
    virtual, wanted = clock == "virtual", faults_from(faults, allow_faults, state.env)
    printer = Printer(form, virtual)
    # Another server may be named there; these files are for the one that starts here.
    env = {k: v for k, v in state.env.items() if k not in ("JOBRUNNER_ENDPOINT", "JOBRUNNER_TOKEN")}
    follower = Follower(replace(state, env=env), files, first, seen, printer.tell, _interrupt)

    def say(line: str) -> None:
        click.echo(line, err=True)
        follower.start()

    set_up_logging(quiet=True)
    options = ServeOptions(
        virtual=virtual, tell=follower.tell, patient=True, faults=wanted, **flags
    )
    try:
        serve(state.settings(), options, say)
    finally:
        follower.stop()
        sys.stdout.flush()
    if follower.failure is not None:
        raise follower.failure


def _interrupt() -> None:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGTERM)
