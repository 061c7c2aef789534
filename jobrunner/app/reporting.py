"""What a server says while it runs: plain lines on standard error, with time and level."""

from __future__ import annotations

import logging
import sys

from jobrunner.core.records import Execution
from jobrunner.core.states import ExecutionState
from jobrunner.executor.observer import Observer

FORM = "%(asctime)s.%(msecs)03d %(levelname)s %(message)s"
TIMES = "%Y-%m-%dT%H:%M:%S"

log = logging.getLogger("jobrunner.server")


def set_up_logging(*, verbose: bool = False, quiet: bool = False) -> None:
    """Once, for the whole process. Only our own words; of others, warnings. ``quiet`` is for who
    hears of what happens in another way."""
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORM, TIMES))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("jobrunner", "triggers"):
        level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
        logging.getLogger(name).setLevel(level)


class LogObserver(Observer):
    """Says what a person may have to know; each end of a run is for those who ask."""

    def preparing(self, execution: Execution, message: str) -> None:
        log.info("%s: %s", execution.name, message)

    def warning(self, message: str) -> None:
        log.warning("%s", message)

    def settled(self, execution: Execution) -> None:
        failed = execution.state is ExecutionState.FAILED
        level = logging.INFO if failed else logging.DEBUG
        log.log(
            level,
            "Execution %s ended: %s. %s",
            execution.name,
            execution.state.value.lower(),
            execution.message,
        )
