"""Label selectors: which jobs, executions and tasks a list shows.

A selector is a list of requirements, separated by commas, and all of them must hold: ``k = v``
(or ``==``), ``k != v``, ``k in (a, b)``, ``k notin (a, b)``, ``k`` (there is such a label), ``!k``
(there is none). Blanks around words do not matter. ``!=`` and ``notin`` hold also where there is no
such label, as in Kubernetes.

The labels that a selector sees are the ones that documents show, and a few that exist for
selectors alone (:data:`SERVING`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from jobrunner.core.records import Execution, Job, Task
from jobrunner.core.spec import StringMap
from jobrunner.core.states import SETTLED_EXECUTIONS

LOCATION = "cloud.googleapis.com/location"
JOB = "run.googleapis.com/job"
JOB_UID = "run.googleapis.com/jobUid"
JOB_GENERATION = "run.googleapis.com/jobGeneration"
EXECUTION = "run.googleapis.com/execution"
RUNNING_STATE = "run.googleapis.com/runningState"
SERVING = "run.googleapis.com/servingState"
"""``Active`` for an execution that has not ended. No document shows it."""
ACTIVE = "Active"

MAX_SELECTOR = 10_000
"""Characters."""


class Operator(StrEnum):
    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value is not None and value in self.values
            case Operator.NOT_IN:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.ABSENT:
                return value is None


@dataclass(frozen=True, slots=True)
class Selector:
    """Without requirements it selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def selects(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.holds(labels) for requirement in self.requirements)

    def values(self, key: str) -> frozenset[str] | None:
        """The values of the label ``key`` that can be selected; ``None`` for any or none."""
        found: frozenset[str] | None = None
        for requirement in self.requirements:
            if requirement.key == key and requirement.operator is Operator.IN:
                found = requirement.values if found is None else found & requirement.values
        return found


def is_text(text: str) -> bool:
    """Whether a database can be asked for it: no NUL, no half of a UTF-16 pair."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


_TOKEN = re.compile(r"\s*(?:(==|!=|[=!(),])|([^\s=!(),]+))")
_KEY = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?")
_WORDS = ("in", "notin")


def parse_selector(text: str) -> Selector:
    """Raises ValueError with a sentence that says what was expected where."""
    if len(text) > MAX_SELECTOR:
        raise ValueError(f"it is longer than {MAX_SELECTOR} characters")
    if not is_text(text):
        raise ValueError("it holds a NUL character, or half of one")
    return Selector(tuple(_Reader(text).requirements())) if text.strip() else Selector()


class _Reader:
    """Reads token by token. A token is a sign or a word; the empty one is the end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0

    def requirements(self) -> Iterator[Requirement]:
        while True:
            yield self._requirement()
            sign = self._take()
            if sign == "":
                return
            if sign != ",":
                raise self._wrong(sign, "',' or the end")

    def _requirement(self) -> Requirement:
        if self._next() == "!":
            self._take()
            return Requirement(self._key(), Operator.ABSENT)
        key = self._key()
        sign = self._next()
        if sign in ("", ","):
            return Requirement(key, Operator.EXISTS)
        self._take()
        if sign in ("=", "=="):
            return Requirement(key, Operator.IN, frozenset([self._value()]))
        if sign == "!=":
            return Requirement(key, Operator.NOT_IN, frozenset([self._value()]))
        if sign in _WORDS:
            return Requirement(key, Operator(sign), self._set())
        raise self._wrong(sign, "'=', '!=', 'in', 'notin' or ','")

    def _key(self) -> str:
        word = self._take()
        if not _KEY.fullmatch(word):
            raise self._wrong(word, "the key of a label")
        return word

    def _value(self) -> str:
        """A word, or nothing for the empty value."""
        if self._next() in ("", ",", ")"):
            return ""
        word = self._take()
        if word[0] in "=!(":
            raise self._wrong(word, "a value")
        return word

    def _set(self) -> frozenset[str]:
        sign = self._take()
        if sign != "(":
            raise self._wrong(sign, "'('")
        found = [self._value()]
        while (sign := self._take()) == ",":
            found.append(self._value())
        if sign != ")":
            raise self._wrong(sign, "',' or ')'")
        return frozenset(found)

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self._at += 1
        return token

    def _wrong(self, token: str, wanted: str) -> ValueError:
        shown = f"'{token[:60]}'" if token else "the end"
        return ValueError(
            f"'{self._text[:200]}' is not a label selector: {wanted} was expected, not {shown};"
            " write requirements such as KEY = VALUE or KEY in (A,B), separated by commas"
        )


def _tokens(text: str) -> Iterator[str]:
    end = len(text.rstrip())
    position = 0
    while position < end:
        match = _TOKEN.match(text, position)
        assert match is not None  # every character is a blank, a sign or part of a word
        yield match[1] or match[2]
        position = match.end()


# --------------------------------------------------------------- the labels that a selector sees


def job_labels(job: Job) -> StringMap:
    return {**job.spec.labels, LOCATION: job.region}


def execution_labels(execution: Execution) -> StringMap:
    labels = {
        **execution.labels,
        JOB: execution.job_name,
        JOB_UID: execution.job_uid,
        JOB_GENERATION: str(execution.job_generation),
        LOCATION: execution.region,
    }
    if execution.state not in SETTLED_EXECUTIONS:
        labels[SERVING] = ACTIVE
    return labels


def task_labels(task: Task, execution: Execution) -> StringMap:
    return {
        **execution.labels,
        JOB: execution.job_name,
        EXECUTION: execution.name,
        RUNNING_STATE: task.state.value,
        LOCATION: execution.region,
    }
