"""What came of a schedule, in pages."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor

from jobrunner.core.params import invalid, page_after, page_size, page_token
from jobrunner.core.timestamps import format_time, parse_time
from triggers.api.schedules.writing import Document, compared_document, occurrence_document
from triggers.core.records import Schedule
from triggers.service.schedules import Schedules

Params = Mapping[str, str]


def occurrences(schedules: Schedules, schedule: Schedule, params: Params) -> Document:
    """A page, newest first. Those of one instant stand on one page, which they may make longer."""
    store = schedules.store
    size, bound = page_size(params), ("occurrences", schedule.uid)
    after = page_after(params, *bound)
    end = None if after is None else float(int(after))
    found = list(store.history(schedule.uid, end=end, limit=size + 1))
    token = None
    if len(found) > size:
        cut = found[size].key.nominal
        shown = [row for row in found if row.key.nominal > cut]
        token = cut
        if not shown:
            shown = list(store.history(schedule.uid, start=cut - 1, end=cut))
            token = cut - 1
        found = shown
    ends = schedules.ends(schedule, found)
    answer: Document = {"occurrences": [occurrence_document(row, ends) for row in found]}
    if token is not None:
        answer["nextPageToken"] = page_token(str(token), *bound)
    return answer


def compared(schedules: Schedules, schedule: Schedule, params: Params) -> Document:
    """The rows of a range, oldest first, or its first part: then ``nextStart`` is where to go on.
    Without a start from the creation, without an end to now."""
    size = page_size(params)
    # A run by hand is told by the second in which it was asked for.
    first = floor(schedule.created_at) - 1
    start = _instant(params, "start", first)
    end = _instant(params, "end", schedules.now())
    told = schedules.explained(schedule, start, end, count=size + 1)
    answer: Document = {}
    if len(told) > size:
        end = told[-1].nominal - 1
        answer["nextStart"] = format_time(end)
    rows = schedules.compared(schedule, start, end)
    ends = schedules.ends(schedule, [row.happened for row in rows if row.happened is not None])
    return {"rows": [compared_document(row, ends) for row in rows], **answer}


def range_of(texts: Params) -> tuple[float, float]:
    """Both ends, which have to be there. Raises InvalidSpec."""
    for key in ("start", "end"):
        if not texts.get(key):
            raise invalid(key, "it is missing; allowed: an instant, as 2026-01-01T00:00:00Z")
    return _instant(texts, "start", 0.0), _instant(texts, "end", 0.0)


def _instant(params: Params, name: str, default: float) -> float:
    text = params.get(name, "")
    try:
        return parse_time(text) if text else default
    except ValueError as error:
        raise invalid(name, str(error)) from None
