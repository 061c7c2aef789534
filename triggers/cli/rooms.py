"""What the commands of all rooms (schedules, queues, subscriptions, …) have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from jobrunner.cli.asking import delete_all
from jobrunner.cli.base import State
from jobrunner.cli.params import whole
from jobrunner.errors import RunnerFault
from triggers.cli.desk import Desk, desk_of, pages, path_to

Document = dict[str, Any]

limit_option = click.option(
    "--limit", type=whole(1), metavar="N", help="At most so many  [default: all]."
)


def place_of(state: State) -> dict[str, str]:
    """The query that says which project and region are meant."""
    scope = state.scope()
    return {"project": scope.project, "region": scope.region}


@dataclass(frozen=True, slots=True)
class Room:
    """A room of our own API, where each thing has a name."""

    path: str
    noun: str
    idle: str
    """What does not happen while no server runs."""

    def found(self, state: State, desk: Desk, name: str) -> Document:
        return desk.call("GET", path_to(self.path, name), query=place_of(state))

    def store(
        self, state: State, desk: Desk, old: Document | None, name: str, spec: Document
    ) -> Document:
        """Makes one, or puts ``spec`` in the place of ``old`` unless somebody changed that."""
        if old is None:
            body = {"name": name, **place_of(state), **spec}
            return desk.call("POST", path_to(self.path), body=body)
        body = {**spec, "resourceVersion": old["resourceVersion"]}
        return desk.call("PUT", path_to(self.path, name), query=place_of(state), body=body)

    def act(
        self, state: State, name: str, verb: str, body: Document | None = None
    ) -> tuple[Document, bool]:
        """What the method answers, and whether a server did it."""
        path = f"{path_to(self.path, name)}:{verb}"
        with desk_of(state) as desk:
            return desk.call("POST", path, query=place_of(state), body=body or {}), desk.served

    def show_all(
        self,
        state: State,
        form: str,
        text: Callable[[list[Document]], str],
        limit: int | None = None,
    ) -> None:
        from jobrunner.cli.output import emit

        kind = f"{self.noun}s"
        with desk_of(state) as desk:
            rows = list(pages(desk, path_to(self.path), kind, place_of(state), limit))
        if not rows and form == "table":
            click.echo(f"No {kind}.", err=True)
            return
        emit(form, lambda: rows, lambda: text(rows))

    def delete(self, state: State, names: Sequence[str], along: str, quiet: bool) -> None:
        """With ``along``, once all were found and the answer is yes."""
        with desk_of(state) as desk:
            delete_all(
                self.noun,
                along,
                names,
                look=lambda name: self._look(state, desk, name),
                delete=lambda name: self._delete(state, desk, name),
                quiet=quiet,
            )

    def remove(self, state: State, names: Sequence[str]) -> None:
        """As :meth:`delete`, of what is easily said again: nobody is asked."""
        with desk_of(state) as desk:
            for name in names:
                self._look(state, desk, name)
            for name in names:
                self._delete(state, desk, name)
                click.echo(f"Removed {self.noun} '{name}'.", err=True)

    def _look(self, state: State, desk: Desk, name: str) -> None:
        """Raises NotFound. One that is damaged is there, too: to delete it is what helps."""
        try:
            self.found(state, desk, name)
        except RunnerFault:
            # If it is anything else, whatever comes next says so.
            return

    def _delete(self, state: State, desk: Desk, name: str) -> None:
        desk.call("DELETE", path_to(self.path, name), query=place_of(state))

    def hint_of_server(self, served: bool) -> None:
        if not served:
            click.echo(f"{self.idle} while no server runs: jobrunner serve", err=True)


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
