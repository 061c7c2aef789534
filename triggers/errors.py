"""Errors of the trigger layer. They hang in jobrunner's tree, so that every face knows their exit
codes and statuses; a broken field is :class:`jobrunner.errors.InvalidSpec`.

::

    JobrunnerError
    └── RunnerFault
        └── IllegalTransition   5   the table of a state machine has no such cell
"""

from __future__ import annotations

from jobrunner.errors import RunnerFault


class IllegalTransition(RunnerFault):
    """The table has no cell for this state and event; nothing was changed."""
