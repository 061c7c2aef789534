"""What Google's clients ask of other APIs on their way to Cloud Run."""

from __future__ import annotations

from collections.abc import Sequence

from jobrunner.calls import Method
from jobrunner.service.parts import Parts


def methods(parts: Parts) -> Sequence[Method]:
    from jobrunner.api.side import locations, logging, projects

    return [*locations.methods(parts), *logging.methods(parts), *projects.methods(parts)]
