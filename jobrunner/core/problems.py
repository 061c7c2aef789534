"""Gathers what is wrong, each with the path of its field."""

from __future__ import annotations

from jobrunner.errors import Violation

JOB_METADATA = "metadata"
EXECUTION_METADATA = "spec.template.metadata"
EXECUTION = "spec.template.spec"
TASK = "spec.template.spec.template.spec"
CONTAINERS = f"{TASK}.containers"
VOLUMES = f"{TASK}.volumes"


class Problems:
    """A list of violations that grows."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def add(self, field: str, message: str) -> None:
        self.violations.append(Violation(field, message))

    def refuse(self, field: str, *, at: str | None = None) -> None:
        """Adds the error of a field that is in the list of refused ones; ``at`` is another path
        to report it at."""
        # The list is long and most jobs have none of these: it is read when it is needed.
        from jobrunner.core.fields import refusal

        self.add(at or field, refusal(field).message)

    def check(self, field: str, problem: str | None) -> bool:
        """Adds ``problem`` if there is one; says whether all is well."""
        if problem is None:
            return True
        self.add(field, problem)
        return False
