"""The process: its birth, its surroundings, its one loop."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time

from jobrunner.backends.supervisor import kernel, place, procfs, protocol
from jobrunner.backends.supervisor.diary import note_exception
from jobrunner.backends.supervisor.loop import SIGNALS, Supervisor

QUIET = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
"""Signals that never reach the supervisor. Blocked, not ignored: children would inherit that."""


def main() -> None:
    """``python -c … DIRECTORY MARK LOCK READY``: the directory, what precedes the key in each
    child's mark, and two inherited descriptors: the held lock, and a pipe that takes ``ok`` or
    the reason why not."""
    directory, mark_prefix, lock, ready = sys.argv[1:5]
    if os.fork():
        # The parent reaps this one; the supervisor itself is nobody's zombie-to-be.
        os._exit(0)
    status = 1
    try:
        _supervise(directory, mark_prefix, int(lock), int(ready))
        status = 0
    except BaseException as error:
        note_exception()
        _answer(int(ready), f"{type(error).__name__}: {error}")
    finally:
        # No clean-up of the interpreter: it would only take time.
        os._exit(status)


def _supervise(directory: str, mark_prefix: str, lock: int, ready: int) -> None:
    os.set_inheritable(lock, False)
    os.set_inheritable(ready, False)
    kernel.plain_signals({*QUIET, *SIGNALS})
    kernel.become_subreaper()
    kernel.set_name("jr-supervisor")
    os.chdir("/")
    listener = place.listen(directory)
    supervisor = Supervisor(directory, mark_prefix, listener, kernel.signal_descriptor(SIGNALS))
    _introduce(directory)
    # The package may be replaced under us: from here on nothing can be imported any more.
    sys.meta_path.clear()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
    _answer(ready, "ok")
    supervisor.run()


def _introduce(directory: str) -> None:
    info: place.Info = {
        "id": os.path.basename(directory),
        "pid": os.getpid(),
        "boot": procfs.boot_id(),
        "started": time.time(),
        "version": protocol.VERSION,
        "uid": os.geteuid(),
    }
    path = os.path.join(directory, place.INFO)
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(info, file)
    os.rename(path + ".new", path)


def _answer(ready: int, text: str) -> None:
    try:
        os.write(ready, text.encode("utf-8", "replace"))
        os.close(ready)
    except OSError:
        pass
