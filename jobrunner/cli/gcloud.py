"""``jobrunner gcloud``: the stock gcloud, pointed at the server of this home."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from typing import TYPE_CHECKING

import click

from jobrunner.cli.base import Cmd, State, with_state

if TYPE_CHECKING:
    from jobrunner.cli.gcloud_settings import Place
    from jobrunner.client.finding import Endpoint

FORMS = ("shell", "github", "json")
CONNECT_TIMEOUT = 3.0
GIVEN = "given-token"
"""The file with what ``JOBRUNNER_TOKEN`` holds."""
START = "Start one: jobrunner serve. Or name one: JOBRUNNER_ENDPOINT=http://HOST:PORT"


@click.command(
    cls=Cmd,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    examples=(
        "jobrunner gcloud run jobs list",
        "jobrunner gcloud run jobs execute report --wait",
        'eval "$(jobrunner gcloud --print-env)"; gcloud run jobs list',
    ),
)
@click.option(
    "--print-env",
    "form",
    is_flag=False,
    flag_value=FORMS[0],
    type=click.Choice(FORMS),
    help="Print the settings, for a shell or for CI, and run nothing.",
)
@click.argument("arguments", metavar="ARGS", nargs=-1, type=click.UNPROCESSED)
@with_state
def gcloud(state: State, form: str | None, arguments: tuple[str, ...]) -> int:
    """Run the stock gcloud against the server of this home.

    Everything after 'jobrunner gcloud' is gcloud's. Your own gcloud configuration is neither read
    nor changed. The exit code is gcloud's.
    """
    from jobrunner.cli import gcloud_settings

    if form is None and not arguments:
        raise click.UsageError("There is nothing to run: gcloud's own words are missing.")
    place = _place(state)
    settings = gcloud_settings.gcloud_settings(place)
    if form is not None:
        if arguments:
            raise click.UsageError("--print-env runs nothing: leave out gcloud's own words.")
        if form == "shell":
            unset = gcloud_settings.foreign(os.environ, settings)
            click.echo(gcloud_settings.shell_lines(settings, unset), nl=False)
        elif form == "github":
            click.echo(gcloud_settings.github_lines(settings), nl=False)
        else:
            click.echo(gcloud_settings.json_text(settings), nl=False)
        return 0
    program = _program()
    _reach(place.server)
    sys.stdout.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    environment = gcloud_settings.environment(os.environ, settings)
    return os.execve(program, ["gcloud", *arguments], environment)


def _program() -> str:
    from jobrunner.errors import Refused

    found = shutil.which("gcloud")
    if found is None:
        raise Refused(
            "There is no gcloud on this machine's PATH.",
            hint="Install the Google Cloud CLI (cloud.google.com/sdk/docs/install); no account "
            "is needed.",
        )
    return found


def _place(state: State) -> Place:
    """Where the server is and what gcloud needs to speak to it; the token goes into a file."""
    from jobrunner.cli.gcloud_settings import Place
    from jobrunner.client.finding import find_server
    from jobrunner.errors import Refused
    from jobrunner.lib.serverfile import GCLOUD_DIR

    settings = state.settings()
    server = find_server(os.environ, settings.home)
    if server is None:
        raise Refused(f"No server runs on the home {settings.home}.", hint=START)
    config = os.path.join(settings.home, GCLOUD_DIR)
    os.makedirs(config, mode=0o700, exist_ok=True)
    return Place(
        server=server,
        config_dir=config,
        token_file=_token_file(settings.home, server) if server.token else None,
        project=settings.project,
        region=settings.region,
        ca_file=os.environ.get("SSL_CERT_FILE") or None,
    )


def _token_file(home: str, server: Endpoint) -> str:
    """Where gcloud finds the token. The key of this home's server has a file to itself: the server
    renews it, and what is written there must never be shown to another one."""
    from jobrunner.lib import serverfile

    path = serverfile.key_path_in(home)
    if server.pid is None:
        path = os.path.join(os.path.dirname(path), GIVEN)
    serverfile.write_private(path, server.token)
    return path


def _reach(server: Endpoint) -> None:
    """A short knock, because gcloud itself would retry for half a minute."""
    from jobrunner.errors import Refused

    try:
        socket.create_connection((server.host, server.port), CONNECT_TIMEOUT).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise Refused(f"No server answers at {server.url}: {reason}.", hint=START) from error
