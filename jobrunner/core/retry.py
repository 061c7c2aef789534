"""When a failed task is tried again: the policy as a value, and the text form of its rules.

::

    3=retry; 10-12=fail-task; SIGKILL=retry; timeout=fail-execution

Rules are separated by commas or semicolons and read from left to right; the first that matches how
an attempt ended decides. What the policy means for an attempt is in :mod:`jobrunner.core.verdict`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jobrunner.errors import InvalidSpec, Violation

DEFAULT_MAX_RETRIES = 3
MAX_EXIT_CODE = 255
MAX_SIGNAL = 64
MAX_RULES = 100

SIGNALS: dict[str, int] = {
    "SIGHUP": 1,
    "SIGINT": 2,
    "SIGQUIT": 3,
    "SIGILL": 4,
    "SIGTRAP": 5,
    "SIGABRT": 6,
    "SIGBUS": 7,
    "SIGFPE": 8,
    "SIGKILL": 9,
    "SIGUSR1": 10,
    "SIGSEGV": 11,
    "SIGUSR2": 12,
    "SIGPIPE": 13,
    "SIGALRM": 14,
    "SIGTERM": 15,
    "SIGSTKFLT": 16,
    "SIGXCPU": 24,
    "SIGXFSZ": 25,
    "SIGVTALRM": 26,
    "SIGPROF": 27,
    "SIGIO": 29,
    "SIGPWR": 30,
    "SIGSYS": 31,
}
"""Signals that end a process on Linux, by name. The module ``signal`` is not used because the
numbers of another machine would change what a stored rule means."""

_SIGNAL_NAMES = {number: name for name, number in SIGNALS.items()}


class RetryAction(StrEnum):
    RETRY = "retry"
    FAIL_TASK = "fail-task"
    FAIL_EXECUTION = "fail-execution"


class RetryCause(StrEnum):
    """Ends that are neither an exit code nor a signal."""

    TIMEOUT = "timeout"
    OOM = "oom"
    LAUNCH_FAILED = "launch-failed"


@dataclass(frozen=True, slots=True)
class RetryRule:
    """Exactly one of ``codes``, ``signals`` and ``on`` says what it matches. ``codes`` are
    inclusive ranges of exit codes (1..255), ``signals`` are Linux signal numbers."""

    action: RetryAction
    codes: tuple[tuple[int, int], ...] = ()
    signals: tuple[int, ...] = ()
    on: RetryCause | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``backoff`` is the wait in seconds before the first retry, doubled for each further one up
    to ``max_backoff`` (``None``: no ceiling of its own). ``lost_limit`` is how often a task whose
    attempt was lost is started again, apart from ``max_retries``."""

    max_retries: int = DEFAULT_MAX_RETRIES
    backoff: float = 0.0
    max_backoff: float | None = None
    rules: tuple[RetryRule, ...] = ()
    lost_limit: int = 3


_FORM = (
    "allowed: CONDITION=ACTION[;…] where CONDITION is an exit code (3), a range (10-12), a signal"
    " (SIGKILL or signal:9), timeout, oom or launch-failed, and ACTION is retry, fail-task or"
    " fail-execution"
)


def parse_retry_rules(text: str, field: str = "retry-rules") -> tuple[RetryRule, ...]:
    """Reads the text form. Raises InvalidSpec with one violation for each rule that is wrong."""
    parts = [part.strip() for part in text.replace(";", ",").split(",")]
    if parts and not parts[-1]:
        parts.pop()
    rules: list[RetryRule] = []
    problems: list[str] = []
    if not parts:
        problems.append(f"it holds no rule; {_FORM}")
    if len(parts) > MAX_RULES:
        problems.append(f"it holds {len(parts)} rules; allowed: at most {MAX_RULES}")
        parts = []
    for part in parts:
        try:
            rules.append(_rule(part))
        except ValueError as error:
            problems.append(f"'{part}' is not a rule: {error}")
    if problems:
        raise InvalidSpec([Violation(field, problem) for problem in problems])
    return tuple(rules)


def format_retry_rules(rules: tuple[RetryRule, ...]) -> str:
    """The shortest text that :func:`parse_retry_rules` reads as ``rules``."""
    return ";".join(f"{_condition(rule)}={rule.action}" for rule in rules)


def _rule(text: str) -> RetryRule:
    condition, separator, word = (piece.strip() for piece in text.partition("="))
    if not separator:
        raise ValueError(_FORM)
    try:
        action = RetryAction(word.lower())
    except ValueError:
        raise ValueError(f"'{word}' is not an action; allowed: {', '.join(RetryAction)}") from None
    lowered = condition.lower()
    for cause in RetryCause:
        if lowered == cause:
            return RetryRule(action, on=cause)
    if lowered.startswith("sig"):
        return RetryRule(action, signals=(_signal(condition),))
    return RetryRule(action, codes=(_codes(condition),))


def _signal(text: str) -> int:
    name, colon, number = text.partition(":")
    if colon and name.strip().lower() == "signal":
        value = _whole(number.strip())
        if value is None or not 1 <= value <= MAX_SIGNAL:
            raise ValueError(f"'{text}' is not a signal; allowed: signal:1 to signal:{MAX_SIGNAL}")
        return value
    known = SIGNALS.get(text.upper())
    if known is None:
        raise ValueError(f"'{text}' is not a signal that is known; write its number, as signal:9")
    return known


def _codes(text: str) -> tuple[int, int]:
    first, dash, last = (piece.strip() for piece in text.partition("-"))
    low = _whole(first)
    high = _whole(last) if dash else low
    if low is None or high is None:
        raise ValueError(f"'{text}' is not a condition; {_FORM}")
    if not 1 <= low <= MAX_EXIT_CODE or not 1 <= high <= MAX_EXIT_CODE:
        raise ValueError(f"exit codes of a failure are 1 to {MAX_EXIT_CODE}, not '{text}'")
    if low > high:
        raise ValueError(f"the range '{text}' is empty; write {high}-{low}")
    return low, high


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _condition(rule: RetryRule) -> str:
    if rule.on is not None:
        return rule.on.value
    if rule.signals:
        number = rule.signals[0]
        return _SIGNAL_NAMES.get(number, f"signal:{number}")
    low, high = rule.codes[0]
    return str(low) if low == high else f"{low}-{high}"
