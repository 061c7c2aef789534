"""Questions before something is gone for good."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click

from jobrunner.cli.base import Decorator
from jobrunner.errors import Refused

quiet_option: Decorator = click.option("--quiet", "-q", is_flag=True, help="Do not ask.")


def confirmed(question: str, *, quiet: bool) -> None:
    """Returns if the answer is yes; without a terminal to ask on, nobody is asked.

    Raises Refused for a no.
    """
    if quiet or not sys.stdin.isatty():
        return
    if not click.confirm(question, default=False, err=True):
        raise Refused("Nothing was deleted: the answer was no.")


def delete_all(
    kind: str,
    along: str,
    names: Sequence[str],
    *,
    look: Callable[[str], object],
    delete: Callable[[str], object],
    quiet: bool,
) -> None:
    """Deletes what is named, with ``along``, once all of it was found and the answer is yes; says
    of each that it is gone. ``look`` and ``delete`` raise."""
    for name in names:
        look(name)
    what = f"{kind} '{names[0]}'" if len(names) == 1 else f"{len(names)} {kind}s"
    confirmed(f"Delete {what} with {along}?", quiet=quiet)
    for name in names:
        delete(name)
        click.echo(f"Deleted {kind} '{name}'.", err=True)
