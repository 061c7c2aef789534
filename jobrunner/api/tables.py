"""The tables of methods of all our APIs, in one."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.api import iam, side
from jobrunner.api.v1.methods import methods as v1_methods
from jobrunner.api.v2.methods import methods as v2_methods
from jobrunner.calls import Method
from jobrunner.service.parts import Parts


def all_methods(parts: Parts) -> Sequence[Method]:
    return [
        *v1_methods(parts),
        *v2_methods(parts),
        *iam.methods(parts),
        *side.methods(parts),
    ]
