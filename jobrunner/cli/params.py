"""click types over the grammar of :mod:`jobrunner.cli.values`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from jobrunner.cli import values
from jobrunner.core.indices import parse_indices
from jobrunner.core.quantities import parse_duration
from jobrunner.core.timestamps import parse_time


class Parsed(click.ParamType):  # type: ignore[type-arg]  # older click: not generic
    """A value that a function reads; its ValueError becomes the message of a usage error."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx=ctx, param=param) from None


def whole(least: int, most: int | None = None) -> Parsed:
    return Parsed("number", lambda text: values.whole_number(text, least, most))


DURATION = Parsed("duration", parse_duration)
TIME = Parsed("time", lambda text: parse_time(text.strip()))
INDICES = Parsed("indices", parse_indices)
