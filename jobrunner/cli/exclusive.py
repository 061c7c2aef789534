"""Flags that exclude each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click


def at_most_one(
    flags: Mapping[str, Any], *groups: tuple[str, ...], params: Mapping[str, str] | None = None
) -> None:
    """Flags of one group go together, flags of two do not: raises a usage error that names both.

    ``params`` has the parameter of a flag where that is not named after it.
    """
    found = []
    for group in groups:
        given = [flag for flag in group if is_given(flags, (params or {}).get(flag, param(flag)))]
        found += given[:1]
    if len(found) > 1:
        raise click.UsageError(f"{found[0]} and {found[1]} exclude each other.")


def is_given(flags: Mapping[str, Any], name: str) -> bool:
    """Whether the command line bears the flag; the empty text counts, as in ``--args=``."""
    return flags.get(name) not in (None, False, ())


def param(flag: str) -> str:
    """The name of a flag's parameter: ``--clear-network`` → ``clear_network``."""
    return flag.removeprefix("--").replace("-", "_")
