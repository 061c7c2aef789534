"""``jobrunner serve``: the server of a home, in the foreground."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

import click

from jobrunner.cli.base import Cmd, State, with_state
from jobrunner.cli.faults import fault_options, faults_from
from jobrunner.cli.params import TIME, whole
from jobrunner.lib.garbage import uncollected

PORTS = whole(0, 65535)


@click.command(
    cls=Cmd,
    examples=(
        "jobrunner serve",
        "jobrunner serve --port 9000 --slots 16 --access-log",
        "jobrunner serve --clock virtual --from 2030-01-01T00:00:00Z",
        "jobrunner serve --host 0.0.0.0 --tls-cert server.pem --tls-key server.key",
    ),
)
@click.option("--host", default="127.0.0.1", metavar="ADDR", help="Where  [default: 127.0.0.1].")
@click.option("--port", type=PORTS, default=8686, metavar="N", help="Port  [default: 8686].")
@click.option("--grpc-port", type=PORTS, metavar="N", help="Speak gRPC too, on this port.")
@click.option(
    "--backend",
    type=click.Choice(("process", "docker", "scripted")),
    metavar="NAME",
    help="Run everything there: process, docker or scripted.",
)
@click.option("--database-url", metavar="URL", help="Another database than the one of the home.")
@click.option(
    "--slots", type=whole(0, 10_000), metavar="N", help="Attempts at once; 0 starts nothing."
)
@click.option("--tls-cert", metavar="FILE", help="Certificate chain, PEM.")
@click.option("--tls-key", metavar="FILE", help="Its key, PEM.")
@click.option("--insecure", is_flag=True, help="Let callers in without a token, wherever from.")
@click.option(
    "--allow-host", "allow_hosts", multiple=True, metavar="NAME", help="A further name of its own."
)
@click.option(
    "--clock",
    type=click.Choice(("real", "virtual")),
    default="real",
    metavar="KIND",
    help="real, or virtual: moved by 'jobrunner clock'  [default: real].",
)
@click.option("--from", "start", type=TIME, metavar="TIME", help="Where virtual time begins.")
@click.option("--access-log", is_flag=True, help="A line for each request.")
@click.option("--verbose", "-v", is_flag=True, help="A line for each execution that ends.")
@fault_options
@with_state
def serve(
    state: State,
    *,
    database_url: str | None,
    slots: int | None,
    clock: str,
    faults: str | None,
    allow_faults: bool,
    **flags: Any,
) -> None:
    """Serve the API of Cloud Run jobs, and drive what is started through it.

    Listens on this machine only, unless told otherwise. SIGTERM or Ctrl-C ends the server within
    five seconds; what runs goes on, and the next server takes it up.
    """
    with uncollected():
        from jobrunner.app.options import ServeOptions
        from jobrunner.app.reporting import set_up_logging
        from jobrunner.app.server import serve as serve_home

        settings = state.settings()
        if database_url is not None:
            settings = replace(settings, database_url=database_url)
        if slots is not None:
            settings = replace(settings, slots=slots)
        set_up_logging(verbose=flags["verbose"])
        wanted = faults_from(faults, allow_faults, state.env)
        serve_home(settings, ServeOptions(virtual=clock == "virtual", faults=wanted, **flags), _say)


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:
        # Nobody listens any more; the server goes on.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
