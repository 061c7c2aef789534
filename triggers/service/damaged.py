"""What is damaged can be deleted like anything else: it is what helps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from triggers.errors import DamagedRow


class _Known(Protocol):
    @property
    def uid(self) -> str: ...


def uid_of(find: Callable[[], _Known]) -> str:
    """Of what ``find`` finds, also where it cannot be read. Raises what ``find`` raises else."""
    try:
        return find().uid
    except DamagedRow as damaged:
        return damaged.uid
