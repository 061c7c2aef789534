"""Questions before something is gone for good."""

from __future__ import annotations

import sys

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
