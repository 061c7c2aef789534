"""Filters of an event trigger: each says whether it agrees, and why.

An attribute is the same in any letter case: ``serviceName`` in a filter is ``servicename`` in the
event. A leading slash of ``resourceName`` does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from triggers.core.cloudevents.attributes import text_of
from triggers.core.cron import show
from triggers.core.event_triggers import EventFilter
from triggers.core.events import CloudEvent
from triggers.core.path_patterns import match_path, parse_path_pattern, why_not

_WITH_SLASH = frozenset({"resourcename"})


@dataclass(frozen=True, slots=True)
class FilterAnswer:
    """``reason`` is a sentence about ``filter``; ``captures`` what its pattern kept by name."""

    filter: EventFilter
    agrees: bool
    reason: str
    captures: dict[str, str] = field(default_factory=dict)


def answers(filters: Sequence[EventFilter], event: CloudEvent) -> list[FilterAnswer]:
    """Of every filter. Raises InvalidSpec for a pattern that is none."""
    return [_answer(one, event) for one in filters]


def all_agree(filters: Sequence[EventFilter], event: CloudEvent) -> bool:
    """As :func:`answers`, without words. Raises InvalidSpec for a pattern that is none."""
    for one in filters:
        value = event.attribute(one.attribute.lower())
        if value is None or not _agrees(one, text_of(value)):
            return False
    return True


def _agrees(one: EventFilter, text: str) -> bool:
    if one.operator:
        return match_path(parse_path_pattern(one.value), text) is not None
    if one.attribute.lower() in _WITH_SLASH:
        return text.removeprefix("/") == one.value.removeprefix("/")
    return text == one.value


def _answer(one: EventFilter, event: CloudEvent) -> FilterAnswer:
    value = event.attribute(one.attribute.lower())
    if value is None:
        return FilterAnswer(one, False, f"the event has no attribute '{one.attribute}'")
    text = text_of(value)
    if not one.operator:
        agrees = _agrees(one, text)
        words = "is" if agrees else f"is '{show(text)}', not"
        return FilterAnswer(one, agrees, f"{one.attribute} {words} '{show(one.value)}'")
    pattern = parse_path_pattern(one.value)
    kept = match_path(pattern, text)
    if kept is None:
        why = why_not(pattern, text)
        return FilterAnswer(
            one, False, f"{one.attribute} does not match '{show(one.value)}': {why}"
        )
    reason = f"{one.attribute} '{show(text)}' matches '{show(one.value)}'"
    return FilterAnswer(one, True, reason, kept)
