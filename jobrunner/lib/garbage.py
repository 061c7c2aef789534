"""When Python's collector of garbage looks: not while a server starts, and then not at what stays.

In a server that is busy it took a twentieth of the time, most of it for modules and tables.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

AT_ONCE = 10_000
"""Objects between two looks."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Until the end, or until :func:`stays` is called."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def stays() -> None:
    """Whatever is there now is not looked at any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(AT_ONCE, 20, 20)
    gc.enable()
