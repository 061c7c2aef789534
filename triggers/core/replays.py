"""What a replay is made of: a new delivery, with the target, payload and policy of its letter."""

from __future__ import annotations

from triggers.core.records import Delivery, SourceKind

_REPLAY = "replay-"


def replay_of(letter: Delivery, uid: str, now: float, at: float) -> Delivery:
    """A new one named ``uid``, made at ``now`` and not to be sent before ``at``."""
    return Delivery(
        uid=uid,
        project=letter.project,
        region=letter.region,
        source=letter.source,
        source_name=letter.source_name,
        key=_key(letter, uid),
        target=letter.target,
        retry=letter.retry,
        payload=letter.payload,
        order_key=letter.order_key,
        created_at=now,
        # What ages does so from the replay on, or it would be gone at once.
        queued_at=now,
        not_before=at,
        parent=letter.uid,
        hops=letter.hops,
    )


def replay_id(letter: Delivery) -> str:
    """What tells the occurrence of a replay from others of its schedule."""
    return f"{_REPLAY}{letter.uid}"


def letter_of(id: str) -> str:
    """The uid of the letter, from what :func:`replay_id` gives."""
    return id.removeprefix(_REPLAY)


def _key(letter: Delivery, uid: str) -> str:
    if letter.source is SourceKind.QUEUE:
        # The last part is the name of the task, for its headers and for the lists of its queue.
        return f"{letter.key.rpartition('/')[0]}/{uid}"
    return f"{letter.key}/replay/{letter.uid}"
