"""Conditions in the enums of v2."""

from __future__ import annotations

from collections.abc import Iterable

from jobrunner.api.v2.enums import COMMON_REASONS, EXECUTION_REASONS, OTHER_REASON
from jobrunner.core.conditions import Condition, Status
from jobrunner.core.documents import Document, filled
from jobrunner.core.timestamps import format_time

SUCCEEDED, FAILED = "CONDITION_SUCCEEDED", "CONDITION_FAILED"
PENDING, RECONCILING = "CONDITION_PENDING", "CONDITION_RECONCILING"
ORDER = ("Started", "Completed", "ContainerReady", "ResourcesAvailable")


def condition(one: Condition, *, begun: bool) -> Document:
    """``begun`` says whether work on it has begun: what is unknown is then reconciling."""
    if one.status is Status.UNKNOWN:
        state = RECONCILING if begun or one.reason else PENDING
    else:
        state = SUCCEEDED if one.status is Status.TRUE else FAILED
    return {
        "type": one.type,
        "state": state,
        **filled(message=one.message),
        "lastTransitionTime": format_time(one.at),
        **filled(severity=one.severity.value.upper() if one.severity else None),
        **reason(one),
    }


def in_order(conditions: Iterable[Condition]) -> list[Condition]:
    return sorted(conditions, key=lambda one: ORDER.index(one.type))


def reason(one: Condition) -> Document:
    """One of the two members that hold a reason."""
    if not one.reason:
        return {}
    if one.reason in EXECUTION_REASONS:
        return {"executionReason": EXECUTION_REASONS[one.reason]}
    return {"reason": COMMON_REASONS.get(one.reason, OTHER_REASON)}
