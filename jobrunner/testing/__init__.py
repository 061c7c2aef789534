"""For tests of your own: a runner in a home of its own, whose clock your test moves.

``with start() as runner:`` starts a server (``jobrunner serve``) as a process, on a free port, with
a virtual clock and the scripted backend unless told otherwise, and takes it down again. The same
comes as the pytest fixture ``jobrunner_runner``.
"""

from jobrunner.testing.local import Sink, Taken
from jobrunner.testing.records import Attempt, Delivery, Execution, Try
from jobrunner.testing.runner import NotSettled, Runner
from jobrunner.testing.starting import start

__all__ = [
    "Attempt",
    "Delivery",
    "Execution",
    "NotSettled",
    "Runner",
    "Sink",
    "Taken",
    "Try",
    "start",
]
