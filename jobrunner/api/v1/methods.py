"""The Cloud Run Admin API v1, as far as jobs go: one table."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.api.v1.executions import ExecutionMethods
from jobrunner.api.v1.frame import Frame
from jobrunner.api.v1.jobs import JobMethods
from jobrunner.calls import Method
from jobrunner.service.parts import Parts


def methods(parts: Parts) -> Sequence[Method]:
    frame = Frame(parts)
    return [*JobMethods(frame).table(), *ExecutionMethods(frame).table()]
