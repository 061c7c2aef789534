"""What is wrong with a v2 request, in the words of v2."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jobrunner.core.documents import Node, not_yet_said
from jobrunner.core.fields import refusal_v2
from jobrunner.errors import InvalidSpec, Violation

JOB = "job"
"""Where the document of a job stands in the requests that bear one."""


def refuse(node: Node, *keys: str) -> None:
    """Fields of v2 alone that are refused by name, unless they are empty."""
    for key in keys:
        if node.raw(key) not in (None, "", False, [], {}, 0):
            path = node.at(key)
            known = refusal_v2(path.removeprefix(f"{JOB}."))
            node.problems.add(path, known.message)


def invalid(request: str, violations: Iterable[Violation]) -> InvalidSpec:
    """The error of a request message: ``Violation in CreateJobRequest.job.template…: text``."""
    error = InvalidSpec(list(violations))
    error.message = "\n".join(f"Violation in {request}.{one}" for one in error.violations)
    return error


def all_of(
    said: list[Violation], rules: Iterable[Violation], translated: Callable[[str], str]
) -> list[Violation]:
    """``said`` while reading, and what the rules add; their paths are those of v1."""
    new = [Violation(translated(one.field), one.message) for one in rules]
    return said + not_yet_said(new, said)
