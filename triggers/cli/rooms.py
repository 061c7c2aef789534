"""What the commands of all rooms (schedules, queues, subscriptions, …) have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jobrunner.errors import RunnerFault
from triggers.cli.desk import Desk, path_to

Document = dict[str, Any]


def there(desk: Desk, room: str, name: str, query: dict[str, str]) -> None:
    """Raises NotFound. One that is damaged is there, too: to delete it is what helps."""
    try:
        desk.call("GET", path_to(room, name), query=query)
    except RunnerFault:
        # If it is anything else, whatever comes next says so.
        return


def rows_table(
    headers: Sequence[str], rows: Sequence[Document], cells: Callable[[Document], list[str]]
) -> str:
    """A table of a list; of a damaged one its name, and in the last column what is wrong."""
    from jobrunner.cli.output import table

    state = ["damaged"] if len(headers) > 2 else []
    gap = [""] * (len(headers) - 2 - len(state))
    return table(
        headers,
        [
            [row["name"], *state, *gap, row["damaged"]] if "damaged" in row else cells(row)
            for row in rows
        ],
    )
