"""What the command line hands to every suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Context:
    """``rounds`` counted rounds of each pair; ``tell`` says on standard error what goes on."""

    rounds: int
    tell: Callable[[str], None]
