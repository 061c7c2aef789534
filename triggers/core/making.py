"""Frozen values that are made for every message, for a fifth of what their class takes.

A frozen dataclass sets each of its fields through ``object.__setattr__``, which for a delivery is
more than the rest of what is done with it in memory. Here the value is made by a twin of its class
that is not frozen, and becomes one of its class before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, fields, make_dataclass
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_twins: dict[type[Any], Any] = {}
"""Each takes some milliseconds to make, and several modules ask for the same."""


def quick(kind: Callable[P, T]) -> Callable[P, T]:
    """What makes values of ``kind``, a frozen dataclass with slots, with the same arguments. Raises
    TypeError for a class that has a ``__post_init__`` or bases: they would be left out."""
    made: Any = kind
    if made not in _twins:
        _twins[made] = _twin_of(made)
    return _twins[made]  # type: ignore[no-any-return]


def _twin_of(made: Any) -> Any:
    if hasattr(made, "__post_init__") or made.__bases__ != (object,):
        raise TypeError(f"{made.__name__} is more than its fields")

    def become(self: Any) -> None:
        self.__class__ = made

    twin: Any = make_dataclass(
        made.__name__,
        [
            (one.name, one.type, field(default=one.default, default_factory=one.default_factory))
            for one in fields(made)
        ],
        namespace={"__post_init__": become},
        slots=True,
    )
    twin.__module__ = made.__module__
    # Refused here, and not with the first message, if the two are not laid out alike.
    become(twin.__new__(twin))
    return twin
