"""Errors in the words that were typed: a field that came from a flag is named by the flag."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from jobrunner.core.options import PREFIX
from jobrunner.core.problems import CONTAINERS, EXECUTION, EXECUTION_METADATA, TASK, VOLUMES
from jobrunner.errors import InvalidSpec, Violation

_CONTAINER = re.escape(f"{CONTAINERS}[0]")
_ANY_ANNOTATION = r"(?:spec\.template\.)?metadata\.annotations\["
_GOOGLE = re.escape(f"{EXECUTION_METADATA}.annotations[run.googleapis.com/")
_FLAGS: tuple[tuple[str, str], ...] = (
    (r"metadata\.name", "JOB"),
    (re.escape(f"{EXECUTION}.taskCount"), "--tasks"),
    (re.escape(f"{EXECUTION}.parallelism"), "--parallelism"),
    (re.escape(f"{TASK}.maxRetries"), "--max-retries"),
    (re.escape(f"{TASK}.timeoutSeconds"), "--task-timeout"),
    (re.escape(f"{TASK}.serviceAccountName"), "--service-account"),
    (_GOOGLE + r"(execution-environment)\]", r"--\1"),
    (_GOOGLE + r"vpc-access-egress\]", "--vpc-egress"),
    (_GOOGLE + r"network-interfaces\]", "--network"),
    (_CONTAINER + r"\.image", "--image"),
    (_CONTAINER + r"\.workingDir", "--workdir"),
    (_CONTAINER + r"\.resources\.limits\[(cpu|memory)\]", r"--\1"),
    (_CONTAINER + r"\.env\b.*", "--set-env-vars"),
    (_CONTAINER + r"\.command\b.*", "--command"),
    (_CONTAINER + r"\.args\b.*", "--args"),
    (_CONTAINER + r"\.volumeMounts\b.*", "--add-volume-mount"),
    (re.escape(VOLUMES) + r"\b.*", "--add-volume"),
    (r"(?:spec\.template\.)?metadata\.labels\b.*", "--labels"),
    (_ANY_ANNOTATION + re.escape(PREFIX) + r"network\]", "--container-network"),
    (_ANY_ANNOTATION + re.escape(PREFIX) + r"([a-z-]+)\]", r"--\1"),
    (_CONTAINER, "--image or --command"),
)


def flag_of(field: str) -> str:
    """The flag that sets ``field``; the field itself where there is none."""
    for pattern, flag in _FLAGS:
        match = re.fullmatch(pattern, field)
        if match is not None:
            return match.expand(flag)
    return field


@contextmanager
def flags_named(**own: str) -> Iterator[None]:
    """Within, an InvalidSpec names flags instead of fields; what is then said twice is said once.
    ``own`` are other names for flags, without their dashes (``command="the command"``)."""
    try:
        yield
    except InvalidSpec as error:
        found: dict[Violation, None] = {}
        for violation in error.violations:
            flag = flag_of(violation.field)
            found[Violation(own.get(flag.lstrip("-"), flag), violation.message)] = None
        raise InvalidSpec(list(found), hint=error.hint) from None
