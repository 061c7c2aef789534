"""Our own options: annotations under ``jobrunner.dev/``, all off by default.

They stand on the execution template or on the job; the template wins, key by key. A document that
bears them stays valid on Cloud Run, which ignores them. The page for people is
``docs/reference/annotations.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from jobrunner.core.nearest import nearest
from jobrunner.core.quantities import parse_duration, parse_memory
from jobrunner.core.retry import DEFAULT_MAX_RETRIES, RetryPolicy, RetryRule, parse_retry_rules
from jobrunner.errors import InvalidSpec, Violation

PREFIX = "jobrunner.dev/"

FAIL_FAST = PREFIX + "fail-fast"
RETRY_BACKOFF = PREFIX + "retry-backoff"
RETRY_MAX_BACKOFF = PREFIX + "retry-max-backoff"
RETRY_RULES = PREFIX + "retry-rules"
GRACE_PERIOD = PREFIX + "grace-period"
DEADLINE = PREFIX + "deadline"
INIT = PREFIX + "init"
NETWORK = PREFIX + "network"
HOST_MOUNTS = PREFIX + "host-mounts"
BACKEND = PREFIX + "backend"
LOG_LIMIT = PREFIX + "log-limit"

OPTION_KEYS = (
    FAIL_FAST,
    RETRY_BACKOFF,
    RETRY_MAX_BACKOFF,
    RETRY_RULES,
    GRACE_PERIOD,
    DEADLINE,
    INIT,
    NETWORK,
    HOST_MOUNTS,
    BACKEND,
    LOG_LIMIT,
)

RERUN_OF = PREFIX + "rerun-of"
INDICES = PREFIX + "indices"
OUTPUT_KEYS = (RERUN_OF, INDICES)
"""Written by jobrunner on executions; nobody else may set them."""

DEFAULT_GRACE = 10.0
DAY = 86_400.0
MAX_DEADLINE = 365 * DAY
MIN_LOG_LIMIT = 64 * 1024
BACKENDS = ("process", "docker")
SCRIPTED = "scripted"
"""Starts nothing; a server may be told to run everything there."""


@dataclass(frozen=True, slots=True)
class HostMount:
    """A file or directory of the machine (``source``) that a container sees as ``target``; both
    are absolute."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Times in seconds, sizes in bytes; ``None`` means that the option is not set.

    ``deadline`` counts from the creation of the execution. ``log_limit`` is what is kept of one
    attempt's output, half from its beginning and half from its end.
    """

    fail_fast: bool = False
    retry_backoff: float = 0.0
    retry_max_backoff: float | None = None
    retry_rules: tuple[RetryRule, ...] = ()
    grace_period: float = DEFAULT_GRACE
    deadline: float | None = None
    init: bool = False
    network: str | None = None
    host_mounts: tuple[HostMount, ...] = ()
    backend: str | None = None
    log_limit: int | None = None

    def retry_policy(self, max_retries: int | None) -> RetryPolicy:
        """``None`` is the contract's default number of retries."""
        return RetryPolicy(
            max_retries=DEFAULT_MAX_RETRIES if max_retries is None else max_retries,
            backoff=self.retry_backoff,
            max_backoff=self.retry_max_backoff,
            rules=self.retry_rules,
        )


def options_of(
    annotations: Mapping[str, str], field: str = "spec.template.metadata.annotations"
) -> RunOptions:
    """Reads the options among ``annotations``. Raises InvalidSpec with every value that is wrong.

    Other keys are not looked at; :func:`unknown_options` finds misspelt ones.
    """
    reader = _Reader(annotations, field)
    options = RunOptions(
        fail_fast=reader.boolean(FAIL_FAST),
        retry_backoff=reader.seconds(RETRY_BACKOFF, 0, DAY) or 0.0,
        retry_max_backoff=reader.seconds(RETRY_MAX_BACKOFF, 0, DAY),
        retry_rules=reader.rules(),
        grace_period=reader.grace(),
        deadline=reader.seconds(DEADLINE, 1, MAX_DEADLINE),
        init=reader.boolean(INIT),
        network=reader.network(),
        host_mounts=reader.mounts(),
        backend=reader.choice(BACKEND, BACKENDS),
        log_limit=reader.size(LOG_LIMIT, MIN_LOG_LIMIT),
    )
    longest = options.retry_max_backoff
    if longest is not None and not reader.violations:
        if RETRY_BACKOFF not in annotations:
            reader.reject(RETRY_MAX_BACKOFF, f"it has no effect without {RETRY_BACKOFF}")
        elif longest < options.retry_backoff:
            reader.reject(
                RETRY_MAX_BACKOFF,
                f"'{annotations[RETRY_MAX_BACKOFF]}' is shorter than {RETRY_BACKOFF}"
                f" ('{annotations[RETRY_BACKOFF]}')",
            )
    if reader.violations:
        raise InvalidSpec(reader.violations)
    return options


def unknown_options(annotations: Mapping[str, str], field: str) -> list[Violation]:
    """A violation for each ``jobrunner.dev/`` key that a user cannot set."""
    found = []
    for key in annotations:
        if not key.startswith(PREFIX) or key in OPTION_KEYS:
            continue
        if key in OUTPUT_KEYS:
            problem = "it is set by jobrunner on executions; remove it"
        else:
            guess = nearest(key, OPTION_KEYS)
            names = ", ".join(known.removeprefix(PREFIX) for known in OPTION_KEYS)
            problem = f"'{key}' is not an option of jobrunner" + (
                f"; did you mean '{guess}'?" if guess else f"; known under {PREFIX}: {names}"
            )
        found.append(Violation(f"{field}[{key}]", problem))
    return found


class _Reader:
    def __init__(self, annotations: Mapping[str, str], field: str) -> None:
        self._annotations = annotations
        self._field = field
        self.violations: list[Violation] = []

    def reject(self, key: str, problem: str) -> None:
        self.violations.append(Violation(f"{self._field}[{key}]", problem))

    def boolean(self, key: str) -> bool:
        return self.choice(key, ("true", "false")) == "true"

    def choice(self, key: str, allowed: tuple[str, ...]) -> str | None:
        text = self._annotations.get(key)
        if text is not None and text not in allowed:
            quoted = " or ".join(f'"{word}"' for word in allowed)
            self.reject(key, f"'{text}' is not allowed; allowed: {quoted}")
            return None
        return text

    def seconds(self, key: str, least: float, most: float) -> float | None:
        text = self._annotations.get(key)
        if text is None:
            return None
        try:
            value = parse_duration(text)
        except ValueError as error:
            self.reject(key, str(error))
            return None
        if not least <= value <= most:
            self.reject(key, f"'{text}' is out of range; allowed: {least:g}s to {most / 3600:g}h")
            return None
        return value

    def grace(self) -> float:
        value = self.seconds(GRACE_PERIOD, 0, DAY)
        return DEFAULT_GRACE if value is None else value

    def size(self, key: str, least: int) -> int | None:
        text = self._annotations.get(key)
        if text is None:
            return None
        try:
            value = parse_memory(text)
        except ValueError as error:
            self.reject(key, str(error).replace("amount of memory", "amount of bytes"))
            return None
        if value < least:
            self.reject(key, f"'{text}' is too little; allowed: {least // 1024}Ki or more")
            return None
        return value

    def rules(self) -> tuple[RetryRule, ...]:
        text = self._annotations.get(RETRY_RULES)
        if text is None:
            return ()
        try:
            return parse_retry_rules(text, f"{self._field}[{RETRY_RULES}]")
        except InvalidSpec as error:
            self.violations += error.violations
            return ()

    def network(self) -> str | None:
        text = self._annotations.get(NETWORK)
        if text is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", text):
            self.reject(
                NETWORK,
                f"'{text}' is not a network; allowed: bridge, host, none or the name of a"
                " Docker network",
            )
            return None
        return text

    def mounts(self) -> tuple[HostMount, ...]:
        text = self._annotations.get(HOST_MOUNTS)
        if text is None:
            return ()
        found: list[HostMount] = []
        for part in text.split(","):
            try:
                mount = _mount(part.strip())
            except ValueError as error:
                self.reject(HOST_MOUNTS, str(error))
                continue
            if any(mount.target == other.target for other in found):
                self.reject(HOST_MOUNTS, f"two mounts have the target '{mount.target}'")
            found.append(mount)
        return tuple(found)


def _mount(text: str) -> HostMount:
    pieces = text.split(":")
    mode = pieces[2] if len(pieces) == 3 else "rw"
    if len(pieces) not in (2, 3) or mode not in ("ro", "rw"):
        raise ValueError(
            f"'{text}' is not a mount; write /SOURCE:/TARGET or /SOURCE:/TARGET:ro, more than one"
            " separated by commas"
        )
    source, target = pieces[:2]
    for path in (source, target):
        if not path.startswith("/") or ".." in path.split("/") or "\0" in path:
            raise ValueError(f"'{path}' in '{text}' is not an absolute path without '..'")
    clean = "/" + "/".join(part for part in target.split("/") if part not in ("", "."))
    if clean == "/":
        raise ValueError(f"the target of '{text}' is '/'; mount below it")
    return HostMount(source, clean, mode == "ro")
