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

    def check(self, field: str, problem: str | None) -> bool:
        """Adds ``problem`` if there is one; says whether all is well."""
        if problem is None:
            return True
        self.add(field, problem)
        return False
