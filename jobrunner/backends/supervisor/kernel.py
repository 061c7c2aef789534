"""Two things of the kernel that Python does not offer: the subreaper flag and signalfd."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable

PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
SIGSET_BYTES = 128
RECORD_BYTES = 128
"""Size of one ``signalfd_siginfo``; its first four bytes are the signal's number."""

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def become_subreaper() -> None:
    """From now on every orphan among our descendants becomes our child, not init's."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def set_name(name: str) -> None:
    """The name that ``ps`` shows, at most 15 bytes."""
    _check(_libc.prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0), "prctl")


def signal_descriptor(signals: Iterable[int]) -> int:
    """A non-blocking descriptor that becomes readable when one of ``signals`` is pending. They
    must be blocked already."""
    mask = ctypes.create_string_buffer(SIGSET_BYTES)
    _libc.sigemptyset(mask)
    for number in signals:
        _check(_libc.sigaddset(mask, int(number)), "sigaddset")
    return _check(_libc.signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK), "signalfd")


def plain_signals(blocked: Iterable[int]) -> None:
    """Every signal gets its default effect, so that children inherit nothing odd (a runner under
    ``nohup``, a shell's background job); ``blocked`` are blocked in this process."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
