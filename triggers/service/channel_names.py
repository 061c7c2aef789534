"""Which channel is meant: one that was made, or that a trigger waits for."""

from __future__ import annotations

from jobrunner.core.records import Scope
from jobrunner.errors import NotFound
from triggers.event_ports import ChannelStore, EventTriggerStore


def channel_name(scope: Scope, name: str) -> str:
    """Its full name; ``name`` may be that already, or empty for none."""
    if not name or name.startswith("projects/"):
        return name
    return f"projects/{scope.project}/locations/{scope.region}/channels/{name}"


class ChannelNames:
    def __init__(self, channels: ChannelStore, triggers: EventTriggerStore) -> None:
        self._channels = channels
        self._triggers = triggers

    def addressed(self, scope: Scope, name: str) -> str:
        """As :meth:`known`; nothing for an empty name. Raises NotFound."""
        found = self.known(scope, name) if name else ""
        if found is None:
            raise NotFound(
                f"There is no channel '{name}' in {scope.region} of project {scope.project}, and"
                " no trigger that waits for one of that name."
            )
        return found

    def known(self, scope: Scope, name: str) -> str | None:
        """The full name of a channel that somebody has made, or that a trigger of the project
        names. ``None`` for any other: what is sent there would be lost in silence."""
        full = channel_name(scope, name)
        if self._channels.find(scope, name) is not None:
            return full
        named = any(one.channel == full for one in self._triggers.listing(scope.project))
        return full if named else None
