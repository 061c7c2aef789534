"""How an attempt ends that brings no answer."""

from __future__ import annotations

import logging
import os

from triggers.core.verdict import Break, Broken

log = logging.getLogger(__name__)


class Stop(Exception):
    """The attempt is over; ``broken`` is how."""

    def __init__(self, why: Break, message: str) -> None:
        super().__init__(message)
        self.broken = Broken(why, message)


def read_failure(error: Exception) -> Broken:
    """What nobody foresaw, as an end of the attempt."""
    if isinstance(error, OSError):
        return Broken(Break.CONNECT, words(error))
    log.error("a bug while calling a target", exc_info=error)
    return Broken(Break.PROTOCOL, f"{type(error).__name__}: {words(error)}")


def words(error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    number = getattr(error, "errno", None)
    if number and str(reason).startswith("Connect call failed"):
        # asyncio's words for a call that the system has words for.
        reason = os.strerror(number)
    return one_line(str(reason))


def one_line(text: str) -> str:
    return " ".join(text.split())[:300]
